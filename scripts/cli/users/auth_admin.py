"""A project's Auth as the command line asks it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scripts.cli.errors import CONFLICT, FAILURE, NOT_ALLOWED, NOT_FOUND, USAGE, CliError
from scripts.cli.service_client import ServiceClient

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scripts.cli.context import CliSession

VERSION = {"X-Supabase-Api-Version": "2024-01-01"}
INSIDE = "http://auth-service:8001"
PAGE = 200
_CODES = {400: USAGE, 422: CONFLICT, 401: NOT_ALLOWED, 403: NOT_ALLOWED, 404: NOT_FOUND, 409: CONFLICT}


class AuthAdmin:
    """The admin API of one project's Auth."""

    def __init__(self, session: CliSession, project: str | None) -> None:
        """Find the project, and its service key. Raises CliError."""
        self._service = ServiceClient(session, project, "auth", INSIDE)
        self.project = self._service.project

    def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, params: Mapping[str, Any] | None = None
    ) -> Any:
        """Return what Auth answers. Raises CliError with its sentence."""
        answer = self._service.send(method, path, VERSION, params=params, json=body)
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
