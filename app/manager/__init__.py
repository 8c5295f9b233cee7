"""The manager: which data APIs are served, and asking for one to be served, restarted or let go of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Response

from app.http.context import app_context
from app.manager.served import served_instances
from app.platform.operations import internal_api
from app.platform.operations.internal import SOCKET
from app.server.problem import Problem
from catalog import projects
from infra.sockets import get_over_socket, socket_path
from jobs.engine.enqueue import enqueue
from jobs.kinds import ReconcileProject
from jobs.requests import lifecycle

if TYPE_CHECKING:
    from flask import Flask

    from config.settings import Settings
    from infra.composition import Infra
    from infra.postgres.database import Transaction
    from jobs.engine.table import Job


METRICS_SECONDS = 10.0


def create(settings: Settings, infra: Infra) -> Flask:
    """Return the manager's application."""
    app = internal_api.create_internal_service("postgrest-manager", settings, infra, open_to_all=("/metrics",))
    app.add_url_rule("/metrics", "metrics", _metrics, methods=["GET"])
    app.add_url_rule("/internal/postgrest", "list", _list, methods=["GET"])
    app.add_url_rule("/internal/postgrest/<project_id>/<any(spawn, restart):verb>", "ask", _ask, methods=["POST"])
    app.add_url_rule("/internal/postgrest/<project_id>", "remove", _remove, methods=["DELETE"])
    return app


def _metrics() -> Response:
    """Hand on what the platform API tells of itself on its own socket: this is where the machine can ask for it."""
    found = get_over_socket(socket_path(app_context().settings, SOCKET), "/metrics", seconds=METRICS_SECONDS)
    if found is None:
        raise Problem(503, "unavailable", "the platform API does not tell its metrics", headers={"Retry-After": "5"})
    return Response(found[1], content_type=found[0], headers={"Cache-Control": "no-store"})


def _list() -> Response:
    infra = app_context().infra
    with infra.database.autocommit() as tx:
        known = served_instances(tx)
    found = [{"id": name, "projectId": project, "url": infra.instances.address(name)} for name, project in known]
    return internal_api.json_response({"instances": found})


def _ask(project_id: str, verb: str) -> Response:
    return internal_api.request_job(project_id, f"postgrest.{verb}", lifecycle.restart if verb == "restart" else _spawn)


def _remove(project_id: str) -> Response:
    return internal_api.request_job(project_id, "postgrest.delete", lifecycle.pause)


def _spawn(tx: Transaction, project_id: str, **who: Any) -> Job:
    if projects.status_of(tx, project_id) == "active":
        return enqueue(tx, ReconcileProject(project_id), **who)
    return lifecycle.resume(tx, project_id, **who)
