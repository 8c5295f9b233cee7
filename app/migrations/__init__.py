"""The migrations service: how far a project's database is, and asking for it to be brought on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import request

from app.http import json_body
from app.http.context import app_context
from app.http.problems import invalid
from app.platform.operations import internal_api
from catalog import projects
from catalog.ids import is_project_id
from jobs.engine.view import rfc3339
from jobs.requests import migrating

if TYPE_CHECKING:
    from flask import Flask, Response

    from config.settings import Settings
    from infra.composition import Infra


def create(settings: Settings, infra: Infra) -> Flask:
    """Return the application of the migrations service."""
    app = internal_api.create_internal_service("migrations", settings, infra)
    app.add_url_rule("/internal/migrations/run", "run", _run, methods=["POST"])
    app.add_url_rule("/internal/migrations/<project_id>", "show", _show, methods=["GET"])
    return app


def _run() -> Response:
    body: Any = json_body.read(request, most=app_context().settings.max_body_bytes) or {}
    project_id = body.get("projectId")
    if set(body) != {"projectId"} or not isinstance(project_id, str) or not is_project_id(project_id):
        raise invalid("/projectId", "must be the id of a project, and nothing else")
    return internal_api.request_job(project_id, "project.migrate", migrating.request_migration)


def _show(project_id: str) -> Response:
    here = app_context()
    with here.infra.database.autocommit() as tx:
        projects.owner_of(tx, project_id)
    seen = migrating.migration_status(here.infra, project_id, "launchdb-migrations")
    versions = [
        {"version": line.version, "checksum": line.checksum, "appliedAt": rfc3339(line.applied_at)}
        for line in seen.applied
    ]
    drift = {"missing": list(seen.missing), "edited": list(seen.edited), "ahead": list(seen.ahead)}
    return internal_api.json_response({"projectId": project_id, "versions": versions, "drift": drift})
