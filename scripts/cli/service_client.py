"""A service of one project as the command line asks it: with the service key, which the project's owner may see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from catalog.ids import is_project_id
from scripts.cli.client import Client
from scripts.cli.errors import CONFLICT, USAGE, CliError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Any

    from scripts.cli.context import CliSession

SECONDS = 30.0


class ServiceClient:
    """One project's service.

    service  as it stands in paths, such as `auth`
    inside   where it is reached beside the services, where there is no Caddy to go through
    """

    def __init__(self, session: CliSession, project: str | None, service: str, inside: str) -> None:
        """Find the project, and its service key. Raises CliError."""
        self.project = session.project(project)
        known = session.client.get(f"/api/projects/{self.project['id']}/connection")
        key = known["serviceRoleKey"]
        if not key:
            raise CliError(known.get("reason") or "the project has no keys yet", CONFLICT)
        self._name = service.capitalize()
        self._below = f"/project/{self.project['id']}/{service}/v1"
        self._headers = {"apikey": key, "Authorization": f"Bearer {key}"}
        beside = session.settings.runtime == "broker" and not session.environment.url
        self._client = Client(httpx.Client(base_url=inside, timeout=SECONDS)) if beside else session.client

    def send(self, method: str, path: str, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        """Return what the service answers, whatever it is. Raises CliError when it cannot be reached."""
        try:
            return self._client.call_as({**self._headers, **(headers or {})}, method, f"{self._below}{path}", **more)
        except httpx.TransportError as error:
            raise CliError(f"the project's {self._name} cannot be reached") from error

    def stream(self, path: str) -> AbstractContextManager[httpx.Response]:
        """Lend what the service answers to a GET, to be read as it comes."""
        return self._client.stream_as(self._headers, f"{self._below}{path}")


def split_words(words: tuple[str, ...], what: str) -> tuple[str | None, str]:
    """Return project and what is meant of it; one word alone is the latter, in LAUNCHDB_PROJECT. Raises UsageError."""
    if len(words) not in (1, 2) or (len(words) == 1 and is_project_id(words[0])):
        raise CliError(f"give [PROJECT] {what}", USAGE)
    return (words[0] if len(words) == 2 else None), words[-1]
