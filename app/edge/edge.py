"""What Caddy asks when a project does not answer: whether a request may go there now, and what is said if not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from flask import Blueprint, request
from werkzeug.wrappers import Response

from app.data.errors import PgrstError
from app.data.run.respond import DataResponse
from app.data.serve import wsgi
from app.data.serve.projects import GREETING, JSON, not_serving_error
from app.data.serve.unserved import UnservedRequest, key_of
from app.http.problems import Problem
from app.server import refusals
from catalog.project_states import REACHABLE
from infra.errors import Unavailable
from infra.sockets import is_listening

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from app.edge.wake_on_request import WakeOnRequest

# Caddy takes this header from every client, and sets it itself.
HEADER = "X-Launchdb-Edge"
SOCKET = "api.sock"
_PLACE = re.compile(
    r"/+(?:project/+(?P<gated>proj_[0-9a-f]{16})/+(?P<named>rest|auth|storage)/+v1|(?P<short>db|auth|storage)/+(?P<plain>proj_[0-9a-f]{16}))"
    r"(?P<path>/.*)?",
    re.DOTALL,
)
_SERVICES: dict[str, Literal["data", "auth", "storage"]] = {"auth": "auth", "storage": "storage"}


def make_blueprint(
    sockets: Path, status_of: Callable[[str], str | None], waking: WakeOnRequest, *, greets: bool = True
) -> Blueprint:
    """Make the blueprint. `sockets` holds a folder for each project; `greets`: a project's own address is ours too."""
    routes, views = Blueprint("edge", __name__), _Views(sockets, status_of, waking)
    routes.add_url_rule("/api/edge/project", "project", views.project, methods=["GET"], provide_automatic_options=False)
    if greets:
        options: dict[str, Any] = {"methods": ["GET", "HEAD", "OPTIONS"], "strict_slashes": False}
        options["provide_automatic_options"] = False
        routes.add_url_rule("/project/<project_id>/", "greeting", views.greeting, **options)
    return routes


class _Views:
    """What the routes do."""

    def __init__(self, sockets: Path, status_of: Callable[[str], str | None], waking: WakeOnRequest) -> None:
        self._sockets, self._status_of, self._waking = sockets, status_of, waking

    def project(self) -> Response:
        """Answer 204 once the project's data API can be asked, or what its client is told instead."""
        asked = read_forwarded_request() if HEADER in request.headers else None
        if asked is None:
            raise Problem(404, "not-found", "there is nothing at this path")
        if asked.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return wsgi.as_response(wsgi.preflight(request.environ), request.environ)
        try:
            served = self._served(asked)
        except PgrstError as fault:
            return wsgi.http_error_response(fault, request)
        except Unavailable:
            return wsgi.http_error_response(refusals.AWAY.fault, request)
        return (
            Response(status=204)
            if served
            else wsgi.http_error_response(not_serving_error(asked.project_id, self._status_of), request)
        )

    def _served(self, asked: UnservedRequest) -> bool:
        if self._status_of(asked.project_id) not in REACHABLE:
            raise not_serving_error(asked.project_id, self._status_of)
        return self._waking.wait_until_served(asked, lambda: is_listening(self._sockets / asked.project_id / SOCKET))

    def greeting(self, project_id: str) -> Response:
        """Answer at a project's own address, without a key and without waking it."""
        if wsgi.is_preflight(request.environ):
            return wsgi.as_response(wsgi.preflight(request.environ), request.environ)
        if self._status_of(project_id) not in REACHABLE:
            return wsgi.http_error_response(not_serving_error(project_id, self._status_of), request)
        return wsgi.response(DataResponse(200, JSON, b"" if request.method == "HEAD" else GREETING), request)


def read_forwarded_request() -> UnservedRequest | None:
    """Read what Caddy, Auth or Storage says of its request; None when that is for no service of a project."""
    path, _, query = request.headers.get("X-Forwarded-Uri", "").partition("?")
    found = _PLACE.fullmatch(path)
    if found is None:
        return None
    return UnservedRequest(
        project_id=found["gated"] or found["plain"],
        method=request.headers.get("X-Forwarded-Method", "GET"),
        path=found["path"] or "/",
        gated=found["gated"] is not None,
        key=key_of(request.headers.get("apikey"), query),
        authorization=request.headers.get("Authorization"),
        agent=request.headers.get("User-Agent", ""),
        service=_SERVICES.get(found["named"] or found["short"], "data"),
    )
