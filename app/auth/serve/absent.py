"""Requests for a project that Auth does not serve now: one that sleeps is woken, and the others are told what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import request

from app.auth.errors import AuthError
from app.data.serve.unserved import UnservedRequest, key_of
from app.served.absent import NotServed

if TYPE_CHECKING:
    from app.auth.serve.call import AuthRoute
    from app.auth.serve.project import AuthProject
    from app.served.absent import AbsentProjects


class AbsentAuth:
    """Waits for projects that come to be served, and says in Auth's words what the others are."""

    def __init__(self, projects: AbsentProjects[AuthProject]) -> None:
        self._projects = projects

    def __call__(self, project_id: str, route: AuthRoute, *, gated: bool, watched: bool) -> AuthProject:
        """Return the project once Auth serves it. Raises AuthError, Unavailable.

        gated    whether the address asks for an API key
        watched  whether the request only looks if somebody is there: it wakes nobody
        """
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
        try:
            return self._projects.awaited(asked)
        except NotServed as error:
            raise _as_auth_error(error) from error


def _as_auth_error(error: NotServed) -> AuthError:
    message = str(error)
    if error.status == 401:
        without = message.startswith("No API key")
        return AuthError(401, "no_api_key" if without else "invalid_api_key", message, extra={"hint": error.hint})
    word = "not_found" if error.status == 404 else "unavailable"
    return AuthError(error.status, word, message, headers=error.headers)
