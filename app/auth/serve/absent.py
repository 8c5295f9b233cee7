"""Requests for a project that Auth does not serve now: one that sleeps is woken, and the others are told what it is."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from flask import request

from app.auth.errors import AuthError
from app.data.errors import PgrstError
from app.data.serve.unserved import UnservedRequest, key_of
from catalog.project_states import AWAY, REACHABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.auth.serve.call import AuthRoute
    from app.auth.serve.project import AuthProject, AuthProjects

# Until what was just opened has its file: whoever has woken it may have seen its data API first.
SETTLE_SECONDS, LOOK_SECONDS = 1.0, 0.025


class AbsentProjects:
    """Waits for projects that come to be served, and says of the others what they are.

    status_of  a project's state as clients may know it; None when there is no such project
    wait       waits until a project serves (second: whether it does), if the request may wake it, and says whether
    """

    def __init__(
        self,
        projects: AuthProjects,
        status_of: Callable[[str], str | None],
        wait: Callable[[UnservedRequest, Callable[[], bool]], bool],
    ) -> None:
        self._projects, self._status_of, self._wait = projects, status_of, wait

    def __call__(self, project_id: str, route: AuthRoute, *, gated: bool, watched: bool) -> AuthProject:
        """Return the project once Auth serves it. Raises AuthError, Unavailable.

        gated    whether the address asks for an API key
        watched  whether the request only looks if somebody is there: it wakes nobody
        """
        # A status of up to a second ago spares the catalogue those who ask for what is not there.
        if self._status_of(project_id) in REACHABLE:
            asked = UnservedRequest(
                project_id=project_id,
                method=request.method,
                path="/" if watched else route.path,
                gated=gated and route.access != "open",
                key=key_of(request.headers.get("apikey"), request.query_string.decode("latin-1")),
                authorization=request.headers.get("Authorization") if route.access in ("user", "admin") else None,
                agent=request.headers.get("User-Agent", ""),
                service="auth",
            )
            if self._came(asked) and (project := self._settled(project_id)) is not None:
                return project
        raise _not_serving(self._status_of(project_id))

    def _came(self, asked: UnservedRequest) -> bool:
        try:
            return self._wait(asked, lambda: self._projects.find(asked.project_id) is not None)
        except PgrstError as fault:
            raise _as_auth_error(fault) from fault

    def _settled(self, project_id: str) -> AuthProject | None:
        deadline = time.monotonic() + SETTLE_SECONDS
        while (project := self._projects.find(project_id)) is None and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        return project


def _not_serving(state: str | None) -> AuthError:
    if state == "active":
        return AuthError(503, "unavailable", "The project does not answer now", headers=(("Retry-After", "1"),))
    if state in AWAY:
        return AuthError(503, "unavailable", f"The project is {state}", headers=(("Retry-After", "5"),))
    return AuthError(404, "not_found", "There is no such project")


def _as_auth_error(fault: PgrstError) -> AuthError:
    """Return in Auth's words why a sleeping project is not woken."""
    if fault.status == 401:
        without = fault.message.startswith("No API key")
        return AuthError(401, "no_api_key" if without else "invalid_api_key", fault.message, extra={"hint": fault.hint})
    return AuthError(fault.status, "unavailable", fault.message, headers=fault.headers)


def fault_of(status: int, body: bytes, retry_after: str | None) -> PgrstError:
    """Return what another process of the platform has said of a project, as it was said."""
    try:
        said = json.loads(body)
        message, hint = str(said["message"]), said.get("hint")
    except (ValueError, KeyError, TypeError, AttributeError):
        message, hint = "The project does not answer now", None
    headers = (("Retry-After", retry_after),) if retry_after else ()
    return PgrstError("PGRST000", message, None, hint, status=status, headers=headers)
