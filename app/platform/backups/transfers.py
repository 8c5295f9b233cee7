"""Projects that move: exported into one file with a passphrase of its own, and imported from one."""

from __future__ import annotations

import secrets as randomness
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask import send_file

from app.http import waiting
from app.http.answers import ProjectAcceptedOut
from app.http.problems import invalid
from app.http.routing import Call, Routes, ViewResponse
from app.platform.backups.answers_backups import ExportOut
from app.platform.backups.backups import backup_response
from app.platform.backups.models_backups import Export, Import
from app.platform.projects.projects import default_quota, project_out
from catalog import audit, capacity, job_secrets, owners, projects
from catalog.backups import BackupNotFound
from catalog.ids import is_id
from config.logging import hide_values
from infra.errors import Refused
from jobs.backup import importing
from jobs.backup.exports import path_of
from jobs.engine.view import job_json
from jobs.requests import lifecycle

if TYPE_CHECKING:
    from flask import Response

    from infra.backup.transfer import ExportHeader
    from infra.postgres.database import Transaction

routes = Routes("transfers")
PASSPHRASE_BYTES = 24


@routes.change(
    "POST", "/api/projects/<project_id>/exports", action="project.export", who="owner",
    body=Export, final=backup_response,
    answers={202: ExportOut, 200: ExportOut},
)  # fmt: skip
def export(call: Call, tx: Transaction, project_id: str) -> ViewResponse:
    """Exports a project into one file for another host; the passphrase is in the first answer only."""
    project = projects.find_owned(tx, project_id, call.owner_id, lock=True)
    given = call.body.passphrase
    passphrase = randomness.token_urlsafe(PASSPHRASE_BYTES) if given is None else given.get_secret_value()
    hide_values(passphrase)
    kept = job_secrets.store(tx, call.world.infra.vault, passphrase)
    by = {"by": call.owner_id, "owner_id": call.owner_id, "request_id": call.request_id}
    job = lifecycle.export(tx, project.id, kept, **by)
    answer = waiting.accepted_response(job_json(tx, job), projectId=project.id, passphrase=None)
    return replace(answer, once={"passphrase": passphrase})


@routes.get(
    "/api/projects/<project_id>/exports/<job_id>/file", who="owner", answers={200: None},
    media_type="application/octet-stream",
)  # fmt: skip
def file(call: Call, project_id: str, job_id: str) -> Response:
    """Fetches the file of an export; a range can be asked for."""
    with call.world.infra.database.transaction() as tx:
        project = projects.find_owned(tx, project_id, call.owner_id)
        path = path_of(call.world.settings.exports_folder, project.id, job_id)
        if not is_id("job", job_id) or not lifecycle.is_exported(tx, project.id, job_id) or not path.is_file():
            raise BackupNotFound("there is no such export, or its file is gone")
        actor = call.caller.actor if call.caller else call.owner_id
        who = audit.AuditEntry(actor, "export.download", address=call.address, request_id=call.request_id)
        told = {"owner_id": call.owner_id, "project_id": project.id, "detail": {"jobId": job_id}}
        audit.record(tx, audit.AuditEntry(**{**vars(who), **told}))
    response = send_file(path, mimetype="application/octet-stream", as_attachment=True)
    response.headers["Cache-Control"] = "no-store"
    return response


def imported_response(call: Call, tx: Transaction, answer: ViewResponse) -> ViewResponse:
    """Make the answer of an import that the client waited for: the project as it is then, whoever owns it."""
    body = answer.body or {}
    project = body["project"]["id"]
    try:
        after = project_out(call, projects.find_owned(tx, project, projects.owner_of(tx, project)))
    except projects.ProjectNotFound:  # nothing could be made of the file: the job says why
        after = None
    return ViewResponse({**body, "project": after}, 200, answer.headers, answer.job_id, answer.project_id)


@routes.change(
    "POST", "/api/projects/import", action="project.import", who="operator", body=Import, final=imported_response,
    answers={202: ProjectAcceptedOut, 200: ProjectAcceptedOut},
)  # fmt: skip
def import_project(call: Call, tx: Transaction) -> ViewResponse:
    """Makes a project of an export that lies in the imports folder: the same one, or with new keys another."""
    infra, body = call.world.infra, call.body
    passphrase = body.passphrase.get_secret_value()
    hide_values(passphrase)
    try:
        head = importing.inspect_export(infra, body.file, passphrase)
    except Refused as error:
        raise invalid("/file", str(error)) from error
    owner = body.owner_id or call.owner_id
    owners.find_with_projects(tx, owner)
    project = _project(call, tx, head, owner)
    capacity.check_pools_fit(tx, infra.settings)
    kept = job_secrets.store(tx, infra.vault, passphrase)
    by: dict[str, Any] = {"by": call.owner_id, "owner_id": owner, "request_id": call.request_id}
    what: dict[str, Any] = {"file": body.file, "form": head.format, "passphrase": kept, "partial": body.partial}
    job = lifecycle.import_project(tx, project, **what, **by)
    answer = waiting.accepted_response(
        job_json(tx, job), project=project_out(call, projects.find_owned(tx, project, owner))
    )
    return replace(answer, told={"keys": body.keys, "from": head.scope, "ownerId": owner})


def _project(call: Call, tx: Transaction, head: ExportHeader, owner: str) -> str:
    """Write the project that is to be. Raises ProjectExists, NameTaken, QuotaExceeded, Problem."""
    name, most = call.body.name or str(head.details.get("name")), default_quota(call.world.settings)
    pool_size = int(head.details.get("poolSize") or 5)
    if call.body.keys == "keep":
        projects.create_imported(tx, head.scope, owner, name=name, pool_size=pool_size, quota=most)
        return head.scope
    made = projects.create(tx, owner, name=name, pool_size=pool_size, quota=most)
    projects.mark_restoring(tx, made.id)
    return made.id
