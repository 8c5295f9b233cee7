"""The broker: a handful of verbs for project containers, on a Unix socket; nothing else is ever asked of Docker.

It holds no secret and reads none; it needs neither Postgres nor Redis. What is made is written down in
infra/instances/containers/shape.py and in the broker's own settings: callers name a project, a job and a number.
"""

from __future__ import annotations

import logging
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import uuid_utils
from flask import Flask, Response, g, json, request

from app.http import json_body, problems
from app.server.problem import Problem, invalid
from catalog.ids import is_project_id
from infra.errors import Refused, Unavailable
from infra.instances.containers.protocol import SIGNALS
from infra.instances.instances import CreatedBy

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.instances.containers.protocol import ContainerProtocol

log = logging.getLogger(__name__)
BODY_BYTES_MAX = 1024
# Less than its callers and whoever stops it are patient for.
WAIT_SECONDS_MAX = 15
_JOB = re.compile(r"job_[0-9a-f]{32}")
_FENCE_MAX = 2**63 - 1


def create_app(verbs: ContainerProtocol) -> Flask:
    """Return the broker's application."""
    app = Flask("launchdb-broker", static_folder=None)
    app.before_request(_strict)
    app.after_request(_logged)
    problems.register_error_handlers(app)
    app.register_error_handler(Unavailable, _unavailable)
    app.register_error_handler(Refused, _refused)

    def route(method: str, rule: str, view: Callable[..., dict[str, Any]]) -> None:
        def answer(project_id: str | None = None, **more: int) -> Response:
            if project_id is not None and not is_project_id(project_id):
                raise Problem(404, "not-found", "there is nothing at this path")
            said = view(**more) if project_id is None else view(project_id)
            return Response(json.dumps(said), content_type="application/json", headers={"Cache-Control": "no-store"})

        # An exact path: one that ends in a slash, or has two, is another.
        app.add_url_rule(
            rule, f"{method} {rule}", answer, methods=[method], strict_slashes=True, provide_automatic_options=False
        )

    routes = _Routes(verbs)
    route("GET", "/health", lambda: {"status": "ok", "service": "broker"})
    route("GET", "/ended/<int:after>/<int:seconds>", routes.ended)
    route("GET", "/projects", routes.list)
    route("GET", "/projects/<project_id>", routes.look)
    route("GET", "/projects/<project_id>/log", routes.log)
    route("POST", "/projects/<project_id>/create", routes.create)
    route("POST", "/projects/<project_id>/signal", routes.signal)
    for verb in ("start", "stop", "remove"):
        route("POST", f"/projects/<project_id>/{verb}", routes.plain(getattr(verbs, verb)))
    app.url_map.merge_slashes = False
    return app


class _Routes:
    """What is asked, and what is answered."""

    def __init__(self, verbs: ContainerProtocol) -> None:
        self._verbs = verbs

    def list(self) -> dict[str, Any]:
        """Answer with the containers of this installation's projects."""
        _body()
        return {"containers": [asdict(one) for one in self._verbs.list()]}

    def ended(self, after: int, seconds: int) -> dict[str, Any]:
        """Answer with a container that ended later than this, once there is one; with none after so many seconds."""
        _body()
        if after > _FENCE_MAX or seconds > WAIT_SECONDS_MAX:
            raise Problem(404, "not-found", "there is nothing at this path")
        found = self._verbs.wait_for_end(after, seconds)
        return {"ended": None if found is None else asdict(found)}

    def look(self, project_id: str) -> dict[str, Any]:
        """Answer with the container of a project's name."""
        _body()
        found = self._verbs.inspect(project_id)
        return {"container": None if found is None else asdict(found)}

    def log(self, project_id: str) -> dict[str, Any]:
        """Answer with the last lines that the container wrote."""
        _body()
        return {"log": self._verbs.log_tail(project_id)}

    def create(self, project_id: str) -> dict[str, Any]:
        """Create the container."""
        said = _body("job", "fence")
        job, fence = said["job"], said["fence"]
        if not isinstance(job, str) or _JOB.fullmatch(job) is None:
            raise invalid("/job", "must be the id of a job")
        if isinstance(fence, bool) or not isinstance(fence, int) or not 0 <= fence <= _FENCE_MAX:
            raise invalid("/fence", "must be the fence of a job")
        return {"created": self._verbs.create(project_id, CreatedBy(job, fence))}

    def signal(self, project_id: str) -> dict[str, Any]:
        """Send one of two signals."""
        name = _body("signal")["signal"]
        if name not in SIGNALS:
            raise invalid("/signal", "must be USR1 or USR2")
        self._verbs.signal(project_id, name)
        return {}

    def plain(self, act: Callable[[str], None]) -> Callable[[str], dict[str, Any]]:
        """Return the view of a verb that needs to know only the project."""

        def view(project_id: str) -> dict[str, Any]:
            _body()
            act(project_id)
            return {}

        return view


def _strict() -> None:
    """Refuse what no caller of ours sends: a query, a body of unknown length, a path in another spelling."""
    g.request_id = uuid_utils.uuid7().hex
    raw = str(request.environ.get("RAW_URI", ""))
    if "?" in raw or "%" in raw or raw != request.path:
        raise Problem(400, "bad-request", "the path is taken as it is, without a query")
    if "Transfer-Encoding" in request.headers:
        raise Problem(411, "length-required", "send the body's length", headers={"Connection": "close"})


def _body(*members: str) -> dict[str, Any]:
    """Return the request's members: exactly these. Raises Problem."""
    read = json_body.read(request, most=BODY_BYTES_MAX)
    given = {} if read is None else read
    unknown = sorted(set(given) - set(members))
    if unknown:
        raise invalid(f"/{unknown[0]}"[:100], "is not known here")
    for member in members:
        if member not in given:
            raise invalid(f"/{member}", "is missing")
    return given


def _unavailable(error: Unavailable) -> Response:
    log.warning("unavailable", extra={"error": str(error)})
    away = error.dependency is not None or None
    return problems.problem_response(Problem(503, "unavailable", str(error), more={"away": away}))


def _refused(error: Refused) -> Response:
    return problems.problem_response(Problem(409, "refused", str(error)))


def _logged(response: Response) -> Response:
    extra = {"method": request.method, "path": request.path[:200], "status": response.status_code}
    level = logging.INFO if request.method != "GET" or response.status_code >= 400 else logging.DEBUG
    log.log(level, "asked", extra={**extra, "request_id": g.get("request_id")})
    return response
