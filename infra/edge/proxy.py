"""Caddy at the edge: its file is rendered whole, checked by Caddy itself, replaced atomically, loaded and read back."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import httpx

from config import limits
from infra import files
from infra.edge import certificates
from infra.errors import Refused, Unavailable
from infra.render import render
from infra.sockets import is_listening

if TYPE_CHECKING:
    from pathlib import Path

    from config.settings import Settings
    from infra.edge.certificates import Certificate

TEMPLATE = "Caddyfile"
# compose/images/caddy/entrypoint looks for the same.
WHOLE = "# whole: "
KEPT = 5
# Longer than Caddy lets requests of the configuration before go on.
ANSWER_SECONDS = 40.0
# The administration answers to this origin alone. Caddy does not look at the name on a Unix socket.
ADMIN_ORIGIN = "http://launchdb.admin"
ADDRESS = "reverse-proxy"
MIB = 1024 * 1024
# A proxy's limit stands behind those of the services: what is little more is theirs to refuse in their own words.
MORE_BYTES = 64 * 1024
MOST_DATA_BYTES, MOST_FILE_BYTES = 20 * MIB, 5120 * MIB
HELD_SECONDS = 30
# How long a body may take to come; a file whatever Storage lets it take, which looks at how fast it comes.
BODY_SECONDS, FILE_SECONDS = 600, 8 * 86_400
# Query parameters that hold a secret, and those whose name is hidden by an encoding.
HIDDEN_VALUES = "(?i)([?&](?:apikey|[^=&]*token[^=&]*|code|secret|password|[^=&]*signature|jwt|[^=&]*%[^=&]*)=)[^&]*"
KEY_IN_QUERY = "^(?:.*&)?((?i:apikey)=([^&]+))(?:&.*)?$"


# What means nothing in a Caddyfile, and makes one word.
_PLAIN = re.compile(r"[A-Za-z0-9@._+\-\[\]:%~=]*")


@dataclass(frozen=True)
class Upstreams:
    """Where the services are, as Caddy reaches them."""

    platform: str = "platform-api:8000"
    auth: str = "auth-service:8001"
    storage_service: str = "storage-service:8003"


def sealed(text: str) -> str:
    """Add a line that tells what the others add up to: a file that was cut off, or changed, is told by it."""
    return f"{text}{WHOLE}{hashlib.sha256(text.encode()).hexdigest()}\n"


def _url_too_long() -> str:
    """Return what the data API says itself."""
    said = {
        "code": limits.URL_TOO_LONG_CODE,
        "details": None,
        "hint": limits.URL_TOO_LONG_HINT,
        "message": limits.URL_TOO_LONG,
    }
    return json.dumps(said, separators=(",", ":"))


class CaddyProxy:
    """What Caddy is told, and what it says. Its administration is a Unix socket, for the owner of the home alone."""

    def __init__(self, settings: Settings, upstreams: Upstreams | None = None, address: str = ADDRESS) -> None:
        self._settings = settings
        self._address = address
        self._upstreams = upstreams or Upstreams()
        self.file = settings.home / "caddy" / "Caddyfile"
        self.socket = settings.run_folder / "caddy" / "admin.sock"

    def text(self) -> str:
        """Return the configuration as the settings want it. Raises Refused."""
        settings = self._settings
        if settings.tls != "off" and not settings.domain:
            raise Refused("DOMAIN is needed for a certificate; without TLS set LAUNCHDB_TLS=off")
        for name, value in (
            ("DOMAIN", settings.domain),
            ("ACME_EMAIL", settings.acme_email),
            ("LAUNCHDB_HOME", str(settings.home).replace("/", "")),
        ):
            if not _PLAIN.fullmatch(value):
                raise Refused(f"{name} holds a character that Caddy's file cannot bear")
        return sealed(render(TEMPLATE, self._values()))

    def _values(self) -> dict[str, Any]:
        settings = self._settings
        return {
            **asdict(self._upstreams),
            "admin_socket": str(self.socket),
            "admin_origin": ADMIN_ORIGIN,
            "storage": str(settings.home / "caddy" / "data"),
            "projects": str(settings.run_folder / "projects"),
            "http_port": settings.http_port,
            "https_port": settings.https_port,
            "tls": settings.tls,
            "domain": settings.domain,
            "acme_email": settings.acme_email,
            "api_bytes": settings.max_body_bytes + MORE_BYTES,
            "data_bytes": MOST_DATA_BYTES + MORE_BYTES,
            "storage_bytes": MOST_FILE_BYTES + MIB,
            "body_seconds": BODY_SECONDS,
            "file_seconds": FILE_SECONDS,
            "edge_head_bytes": limits.EDGE_HEAD_BYTES_MAX,
            "target_bytes": limits.TARGET_BYTES_MAX,
            "url_too_long": _url_too_long(),
            "held_seconds": HELD_SECONDS,
            "hidden_values": HIDDEN_VALUES,
            "key_in_query": KEY_IN_QUERY,
        }

    def write(self) -> bool:
        """Ensure that the file is what the settings want; return whether it was not. Caddy reads it when it starts.

        Raises Refused.
        """
        text = self.text()
        if files.holds(self.file, text):
            return False
        files.ensure_folder(self.file.parent)
        files.ensure_folder(self.socket.parent)
        files.replace(self.file, text)
        return True

    def apply(self) -> bool:
        """Ensure that Caddy serves what the settings want; return whether it did not. What it refuses changes nothing.

        Raises Refused, naming what Caddy says of it; Unavailable when it does not answer. Then the file is as wanted
        all the same: a Caddy that finds none that it can start with waits for one.
        """
        text = self.text()
        try:
            wanted = self.check(text)
        except Unavailable:
            self.write()
            raise
        changed = self.served() != wanted
        if changed:
            # Caddy tries the new configuration, and goes on with the old one where that fails. It is given JSON: of a
            # Caddyfile with as little as a warning 2.6 says that all went well, whatever happened.
            self._ask("POST", "/load", json.dumps(wanted), media_type="application/json")
            if self.served() != wanted:
                raise Unavailable("Caddy serves another configuration than it was given")
        self._keep(text)
        return self.write() or changed

    def check(self, text: str) -> Any:
        """Return a configuration as Caddy understands it. Raises Refused, Unavailable."""
        return json.loads(self._ask("POST", "/adapt", text).content)["result"]

    def served(self) -> Any:
        """Return the configuration that Caddy serves. Raises Unavailable."""
        return json.loads(self._ask("GET", "/config/").content)

    def certificate(self) -> Certificate | None:
        """Return the certificate that clients are shown; None where there is no TLS. Raises Unavailable."""
        if self._settings.tls == "off":
            return None
        return certificates.fetch_certificate(self._address, self._settings.https_port, self._settings.domain)

    def kept(self) -> list[Path]:
        """Return copies of what Caddy has taken, the newest first: with that one it starts where the file is lost."""
        return sorted(self.file.parent.glob(f"{self.file.name}.*"), key=lambda path: int(path.suffix[1:]))

    def _keep(self, text: str) -> None:
        if files.holds(self.file.with_suffix(".1"), text):
            return
        for number in range(KEPT - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                self.file.with_suffix(f".{number}").rename(self.file.with_suffix(f".{number + 1}"))
        files.replace(self.file.with_suffix(".1"), text)

    def _ask(self, method: str, path: str, text: str = "", media_type: str = "text/caddyfile") -> httpx.Response:
        if not is_listening(self.socket):
            raise Unavailable(f"Caddy does not answer at {self.socket}")
        transport = httpx.HTTPTransport(uds=str(self.socket))
        try:
            with httpx.Client(transport=transport, base_url=ADMIN_ORIGIN, timeout=ANSWER_SECONDS) as client:
                headers = {"Origin": ADMIN_ORIGIN, **({"Content-Type": media_type} if text else {})}
                answer = client.request(method, path, content=text, headers=headers)
        except (httpx.TransportError, OSError) as error:
            raise Unavailable(f"Caddy does not answer at {self.socket} ({type(error).__name__})") from error
        if answer.is_success:
            return answer
        said = answer.json().get("error", "") if answer.headers.get("Content-Type", "").endswith("json") else ""
        raise Refused(f"Caddy refuses the configuration: {said or answer.status_code}")
