"""The verbs, asked of the broker: our own small service that alone may talk to Docker."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import httpx

from infra.errors import Refused, Unavailable
from infra.instances.containers import shape
from infra.instances.containers.protocol import ContainerEnd, ProjectContainer
from infra.sockets import is_listening

if TYPE_CHECKING:
    from pathlib import Path

    from config.settings import Settings
    from infra.instances.containers.protocol import Signal
    from infra.instances.instances import CreatedBy

# Stopping a container takes its grace time, and Docker may be slow; no step of a job takes longer.
SECONDS = 25.0
CONNECT_SECONDS = 2.0
REASON_CHARACTERS = 3000


def broker_socket(settings: Settings) -> Path:
    """Return where the broker of an installation listens."""
    return settings.run_folder / "broker" / "broker.sock"


class BrokerClient:
    """A client on the broker's Unix socket. Connects when it is first asked."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._http = httpx.Client(
            # A Unix socket has no certificates; to load the usual ones would take longer than all that is asked.
            transport=httpx.HTTPTransport(uds=str(socket), verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)),
            base_url="http://broker",
            timeout=httpx.Timeout(SECONDS, connect=CONNECT_SECONDS),
        )

    def inspect(self, project_id: str) -> ProjectContainer | None:
        """Return the container of a project's name, whoever made it."""
        found = self._ask("GET", project_id)["container"]
        return None if found is None else ProjectContainer(**found)

    def list(self) -> list[ProjectContainer]:
        """List the containers of this installation's projects."""
        return [ProjectContainer(**found) for found in self._sent("GET", "/projects")["containers"]]

    def create(self, project_id: str, by: CreatedBy) -> bool:
        """Create the project's container without starting it; say False when its name is taken."""
        return bool(self._ask("POST", project_id, "create", {"job": by.job, "fence": by.fence})["created"])

    def start(self, project_id: str) -> None:
        """Start the container."""
        self._ask("POST", project_id, "start")

    def stop(self, project_id: str) -> None:
        """Stop the container, in order where it can; it stays until it is removed."""
        self._ask("POST", project_id, "stop")

    def remove(self, project_id: str) -> None:
        """Remove it; its name may be taken a moment longer."""
        self._ask("POST", project_id, "remove")

    def signal(self, project_id: str, name: Signal) -> None:
        """Send it a signal."""
        self._ask("POST", project_id, "signal", {"signal": name})

    def log_tail(self, project_id: str) -> str:
        """Return the last lines that it wrote, without secrets."""
        return str(self._ask("GET", project_id, "log")["log"])

    def wait_for_end(self, after: int, seconds: float) -> ContainerEnd | None:
        """Wait until a container of this installation's projects ends, is paused or removed; None when none does."""
        found = self._sent("GET", f"/ended/{after}/{round(seconds)}")["ended"]
        return None if found is None else ContainerEnd(**found)

    def close(self) -> None:
        """Release the connection."""
        self._http.close()

    def _ask(self, method: str, project_id: str, verb: str = "", body: dict[str, Any] | None = None) -> dict[str, Any]:
        path = f"/projects/{shape.checked_project_id(project_id)}"
        return self._sent(method, f"{path}/{verb}" if verb else path, body)

    def _sent(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        # Asked first: of a connection that is refused, the library leaves a socket open.
        if not is_listening(self._socket):
            raise Unavailable("the broker does not answer on its socket", dependency="docker")
        try:
            answer = self._http.request(method, path, json=body)
            said = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise Unavailable(f"the broker cannot be reached ({type(error).__name__})", dependency="docker") from error
        if answer.is_success and isinstance(said, dict):
            return said
        reason = str(said.get("detail", "") if isinstance(said, dict) else "")[:REASON_CHARACTERS]
        if answer.status_code == 503:
            raise Unavailable(reason, dependency="docker" if said.get("away") else None)
        if answer.status_code < 500:
            raise Refused(f"the broker refused: {reason}")
        raise Unavailable("the broker failed")
