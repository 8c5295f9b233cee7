"""A project's Auth as the command line asks it: with the service key, which whoever owns the project may see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from catalog.ids import is_project_id
from scripts.cli.client import Client
from scripts.cli.errors import CONFLICT, FAILURE, NOT_ALLOWED, NOT_FOUND, USAGE, CliError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scripts.cli.context import CliSession

VERSION = {"X-Supabase-Api-Version": "2024-01-01"}
# Beside the services, where there is no Caddy to go through.
INSIDE = "http://auth-service:8001"
SECONDS = 30.0
PAGE = 200
_CODES = {400: USAGE, 422: CONFLICT, 401: NOT_ALLOWED, 403: NOT_ALLOWED, 404: NOT_FOUND, 409: CONFLICT}


class AuthAdmin:
    """The admin API of one project's Auth."""

    def __init__(self, session: CliSession, project: str | None) -> None:
        """Find the project, and its service key. Raises CliError."""
        self.project = session.project(project)
        known = session.client.get(f"/api/projects/{self.project['id']}/connection")
        key = known["serviceRoleKey"]
        if not key:
            raise CliError(known.get("reason") or "the project has no keys yet", CONFLICT)
        self._below = f"/project/{self.project['id']}/auth/v1"
        self._headers = {**VERSION, "apikey": key, "Authorization": f"Bearer {key}"}
        inside = session.settings.runtime == "broker" and not session.environment.url
        self._client = Client(httpx.Client(base_url=INSIDE, timeout=SECONDS)) if inside else session.client

    def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, params: Mapping[str, Any] | None = None
    ) -> Any:
        """Return what Auth answers. Raises CliError with its sentence."""
        try:
            answer = self._client.call_as(self._headers, method, f"{self._below}{path}", params=params, json=body)
        except httpx.TransportError as error:
            raise CliError("the project's Auth cannot be reached") from error
        found = answer.json() if answer.content else {}
        if answer.is_success:
            return found
        message = found.get("message") or found.get("msg") or f"Auth answered {answer.status_code}"
        raise CliError(str(message), _CODES.get(answer.status_code, FAILURE))

    def users(self, *, matching: str = "", limit: int | None = None) -> Iterator[dict[str, Any]]:
        """Walk through the users, newest first. matching: a part of their address or name."""
        page, left = 1, limit
        wanted: dict[str, Any] = {"filter": matching} if matching else {}
        while left is None or left > 0:
            found = self.ask("GET", "/admin/users", params={"page": page, "per_page": PAGE, **wanted})["users"]
            yield from found[:left]
            if len(found) < PAGE:
                return
            page, left = page + 1, None if left is None else left - len(found)

    def user(self, named: str) -> dict[str, Any]:
        """Return the user of that id or address. Raises CliError when there is none."""
        if "@" not in named:
            found: dict[str, Any] = self.ask("GET", f"/admin/users/{named}")
            return found
        for user in self.users(matching=named):
            if user.get("email") == named.strip().lower():
                return user
        raise CliError(f"there is no user {named}", NOT_FOUND)


def split_words(words: tuple[str, ...], what: str) -> tuple[str | None, str]:
    """Return project and what is meant of it; one word alone is the latter, in LAUNCHDB_PROJECT. Raises UsageError."""
    if len(words) not in (1, 2) or (len(words) == 1 and is_project_id(words[0])):
        raise CliError(f"give [PROJECT] {what}", USAGE)
    return (words[0] if len(words) == 2 else None), words[-1]
