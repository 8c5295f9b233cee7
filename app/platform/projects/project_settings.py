"""Settings of a project: shown with their version, and changed without losing what somebody else has changed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask import request

from app.http import waiting
from app.http.problems import Problem
from app.http.routing import Call, Routes, ViewResponse
from app.platform.projects.answers_project import SettingsAcceptedOut, SettingsOut
from catalog import projects, settings
from catalog.settings_model import SettingsChanges
from jobs.engine.view import job_json, rfc3339
from jobs.requests.lifecycle import configure

if TYPE_CHECKING:
    from catalog.settings import StoredSettings
    from infra.postgres.database import Transaction

routes = Routes("settings")


def applied_response(call: Call, tx: Transaction, answer: ViewResponse) -> ViewResponse:
    """Make the answer of a change that the client waited for."""
    return _answer(_shown(call, tx, settings.read(tx, str(answer.project_id))), answer.job_id)


@routes.get("/api/projects/<project_id>/settings", who="owner", answers={200: SettingsOut})
def show(call: Call, project_id: str) -> ViewResponse:
    """Shows the settings of a project, defaults included."""
    with call.world.infra.database.autocommit() as tx:
        project = projects.find_owned(tx, project_id, call.owner_id)
        return _answer(_shown(call, tx, settings.read(tx, project.id)))


@routes.change(
    "PATCH", "/api/projects/<project_id>/settings", action="project.settings", who="owner", body=SettingsChanges,
    final=applied_response, answers={200: SettingsOut, 202: SettingsAcceptedOut},
)  # fmt: skip
def update(call: Call, tx: Transaction, project_id: str) -> ViewResponse:
    """Changes settings of a project; what the database or the data API must be told by a job. If-Match is heeded."""
    project = projects.find_owned(tx, project_id, call.owner_id, lock=True)
    if project.status == "deleting":
        raise projects.ProjectBusy(project.status, project.current_job)
    kept = settings.read(tx, project.id)
    _check_precondition(kept)
    operator = call.caller is not None and call.caller.is_operator
    # A failed project has nothing outside: what is provisioned later goes by the settings that it finds.
    changed = settings.change(
        tx, call.world.infra, kept, call.body, bounded=not operator, world=project.status != "failed"
    )
    body = _shown(call, tx, changed.kept)
    told = {"settings": sorted(str(SettingsChanges.model_fields[name].alias) for name in call.body.model_fields_set)}
    if not changed.outside:
        return replace(_answer(body), told=told)
    job = configure(tx, project.id, by=call.owner_id, owner_id=call.owner_id, request_id=call.request_id)
    answer = waiting.accepted_response(job_json(tx, job), **body)
    return replace(answer, headers={**answer.headers, "ETag": _tag(body)}, told=told)


def _check_precondition(kept: StoredSettings) -> None:
    """Refuse a change of what has become something else. The version decides: what else is shown cannot be lost."""
    if "If-Match" not in request.headers or request.if_match.star_tag:
        return
    if str(kept.version) not in {tag.partition("-")[0] for tag in request.if_match.as_set()}:
        raise Problem(412, "precondition-failed", f"the settings have version {kept.version} by now; read them again")


def _answer(body: dict[str, Any], job_id: str | None = None) -> ViewResponse:
    return ViewResponse(body, headers={"ETag": _tag(body)}, job_id=job_id, project_id=body["projectId"])


def _tag(body: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return f'"{body["version"]}-{digest[:24]}"'


def _shown(call: Call, tx: Transaction, kept: StoredSettings) -> dict[str, Any]:
    return {
        "projectId": kept.project_id,
        "version": kept.version,
        "appliedVersion": kept.applied_version,
        "updatedAt": kept.updated_at and rfc3339(kept.updated_at),
        "settings": settings.as_json(settings.effective(kept.settings, call.world.settings)),
        "changed": sorted(kept.settings),
        "secrets": settings.secrets_set(tx, kept.project_id),
    }
