"""What services share that hold their place: healthy, and clear about what a project does not have in this version."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import Response, json, request

from app.http.cache import Cache
from app.http.frame import framed_app
from app.server import cors
from catalog import projects
from catalog.ids import is_project_id
from infra.errors import Unavailable

if TYPE_CHECKING:
    from flask import Flask

    from infra.postgres.database import Database

log = logging.getLogger(__name__)
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
# How a project is named: at its own address, and behind the service's name.
_PROJECT = re.compile(r"/(?:project/([^/]+)/storage/v1|storage/([^/]+))(?:/|$)")
# Clients try every 5xx again, some for half a minute, and what is not there will not be there then: 404.
ABSENT, AWAY = 404, 503

# Puts a refusal into the shape that clients of this service read: status, a word, a sentence.
Shape = Callable[[int, str, str], Response]


def create_placeholder(service: str, product: str, shape: Shape, database: Database) -> Flask:
    """Return the application of a service that serves no project yet; `product` is what it will give them."""
    app = framed_app(service)
    known: Cache[str] = Cache(seconds=1.0)

    def refuse(path: str = "") -> Response:
        del path
        if request.method == "OPTIONS":
            return Response(status=200)
        project_id = _project(request.path)
        if project_id is None or not known.get(project_id, lambda: _status(database, project_id)):
            return shape(ABSENT, "not_found", "There is no such project")
        return shape(ABSENT, "not_found", f"{product} is not available in this version of LaunchDB")

    def away(_error: Unavailable) -> Response:
        answer = shape(AWAY, "unavailable", "The platform's database is away; try again")
        answer.headers["Retry-After"] = "1"
        return answer

    app.register_error_handler(Unavailable, away)
    app.register_error_handler(Exception, lambda error: _accident(error, shape))
    app.after_request(_allow_browsers)
    app.add_url_rule("/", "root", refuse, methods=METHODS, provide_automatic_options=False)
    app.add_url_rule("/<path:path>", "refuse", refuse, methods=METHODS, provide_automatic_options=False)
    return app


def json_response(status: int, body: dict[str, Any]) -> Response:
    """Return a JSON answer; HEAD has no body, everything else has one."""
    return Response(json.dumps(body), status, content_type="application/json", headers={"Cache-Control": "no-store"})


def _project(path: str) -> str | None:
    found = _PROJECT.match(path)
    named = (found[1] or found[2]) if found else None
    return named if named and is_project_id(named) else None


def _status(database: Database, project_id: str) -> str | None:
    with database.autocommit() as tx:
        status = projects.status_of(tx, project_id)
    return None if status == "deleted" else status


def _accident(error: Exception, shape: Shape) -> Response:
    status = getattr(error, "code", None) or 500
    if status >= 500:
        log.error("request failed", exc_info=error)
    return shape(status, "unexpected_failure" if status >= 500 else "not_found", "The request could not be answered")


def _allow_browsers(response: Response) -> Response:
    # On errors too: without these, a browser's client knows only that the network failed.
    headers = cors.headers(request.headers.get("Origin"), ())
    if request.method == "OPTIONS":
        headers = [*headers, *cors.preflight(request.headers.get("Access-Control-Request-Headers"))]
    for name, value in headers:
        response.headers[name] = value
    return response
