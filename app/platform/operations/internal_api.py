"""What the internal services share: the key that opens them, and jobs that they ask for."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, g, json, request

from app.http import problems, requests
from app.http.context import EXTENSION, AppContext, app_context
from app.http.problems import Problem
from catalog import audit, projects
from infra.errors import Refused
from infra.secrets import secretfiles
from jobs.engine.view import job_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.settings import Settings
    from infra.composition import Infra
    from jobs.engine.table import Job

HEADER, SECRET = "X-Internal-API-Key", "INTERNAL_API_KEY"


def create_internal_service(name: str, settings: Settings, infra: Infra, *, open_to_all: tuple[str, ...] = ()) -> Flask:
    """Return an application in which all but /health wants the internal key, one of the two that may be valid.

    open_to_all  paths that do not, either: they tell nothing of anybody, and change nothing
    """
    app = Flask(name, static_folder=None)
    app.extensions[EXTENSION] = AppContext(settings, infra)
    problems.register_error_handlers(app)
    requests.register_request_hooks(app, trusted_proxies="")
    app.before_request(lambda: None if request.path in ("/health", *open_to_all) else _admit())
    app.add_url_rule(
        "/health", "health", lambda: json_response({"status": "healthy", "service": name}), methods=["GET"]
    )
    return app


def json_response(body: dict[str, Any], status: int = 200) -> Response:
    """Return a body as an answer."""
    return Response(json.dumps(body), status, content_type="application/json", headers={"Cache-Control": "no-store"})


def request_job(project_id: str, action: str, ask: Callable[..., Job]) -> Response:
    """Ask for a job of a project and answer 202 with it. Raises ProjectNotFound, ProjectBusy."""
    with app_context().infra.database.transaction() as tx:
        owner = projects.owner_of(tx, project_id)
        job = ask(tx, project_id, by="system", owner_id=owner, request_id=g.request_id)
        entry = audit.AuditEntry("system", action, address=g.address, request_id=g.request_id, owner_id=owner)
        audit.record(tx, audit.AuditEntry(**{**vars(entry), "project_id": project_id, "job_id": job.id}))
        return json_response({"job": job_json(tx, job)}, 202)


def _admit() -> None:
    given = request.headers.get(HEADER, "").encode("latin-1", "replace")
    try:
        known = secretfiles.read(app_context().settings.secrets_folder, SECRET)
    except Refused:
        known = []
    # All are compared, so that the time tells nothing of which one it was.
    if sum(hmac.compare_digest(given, key.encode()) for key in known) == 0:
        raise Problem(401, "unauthorized", "the internal key is missing or wrong")
