"""Backups of an owner's projects: made, listed, fetched, proven and restored. What touches files is a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import send_file

from app.http import paging, waiting
from app.http.answers import ProjectAcceptedOut
from app.http.models import EmptyBody, PageQuery
from app.http.routing import Call, Routes, ViewResponse
from app.platform.backups.answers_backups import BackupAcceptedOut, BackupOut, BackupsOut, DeletedOut
from app.platform.backups.models_backups import Restore, Undelete
from app.platform.projects.lifecycle import finished_response, request_job
from app.platform.projects.projects import created_response, default_quota
from catalog import audit, backups, capacity, projects
from catalog.backups import BackupNotFound
from infra.backup.set_names import file_name
from jobs.engine.view import job_json, rfc3339
from jobs.requests import lifecycle

if TYPE_CHECKING:
    from flask import Response

    from catalog.backups import Backup
    from catalog.projects import Project
    from infra.postgres.database import Transaction
    from jobs.engine.table import Job

routes = Routes("backups")


def backup_response(_call: Call, _tx: Transaction, answer: ViewResponse) -> ViewResponse:
    """Make the answer of a job that the client waited for."""
    return ViewResponse(answer.body, 200, answer.headers, answer.job_id, answer.project_id, answer.once)


@routes.change(
    "POST", "/api/projects/<project_id>/backups", action="backup.create", who="owner",
    body=EmptyBody, final=backup_response,
    answers={202: BackupAcceptedOut, 200: BackupAcceptedOut},
)  # fmt: skip
def create(call: Call, tx: Transaction, project_id: str) -> ViewResponse:
    """Backs a project up."""
    project = projects.find_owned(tx, project_id, call.owner_id, lock=True)
    return _accepted(tx, project, lifecycle.backup(tx, project.id, **_by(call)))


@routes.get("/api/projects/<project_id>/backups", who="owner", query=PageQuery, answers={200: BackupsOut})
def list_backups(call: Call, project_id: str) -> ViewResponse:
    """Lists a project's backups, newest first."""
    place = paging.decode_cursor(call.query.cursor)
    with call.world.infra.database.autocommit() as tx:
        project = projects.find_owned(tx, project_id, call.owner_id)
        found = backups.page(tx, project.id, before=place[0] if place else None, limit=call.query.limit + 1)
    return ViewResponse(
        paging.page(
            "backups", found, call.query.limit, show=backup_out, place=lambda backup: paging.encode_cursor(backup.id)
        )
    )


@routes.get("/api/projects/<project_id>/backups/<backup_id>", who="owner", answers={200: BackupOut})
def show(call: Call, project_id: str, backup_id: str) -> ViewResponse:
    """Shows a backup."""
    with call.world.infra.database.autocommit() as tx:
        return ViewResponse(backup_out(_of(call, tx, project_id, backup_id)))


@routes.get(
    "/api/projects/<project_id>/backups/<backup_id>/file", who="owner", answers={200: None},
    media_type="application/octet-stream",
)  # fmt: skip
def file(call: Call, project_id: str, backup_id: str) -> Response:
    """Fetches a backup's file, encrypted as it lies there; a range can be asked for."""
    with call.world.infra.database.transaction() as tx:
        backup = _of(call, tx, project_id, backup_id)
        actor = call.caller.actor if call.caller else call.owner_id
        who = audit.AuditEntry(actor, "backup.download", address=call.address, request_id=call.request_id)
        told = {"owner_id": call.owner_id, "project_id": project_id, "detail": {"backupId": backup.id}}
        audit.record(tx, audit.AuditEntry(**{**vars(who), **told}))
    path = call.world.settings.backups_folder / _file_name(backup)
    if not path.is_file():
        raise BackupNotFound("the backup's file is gone")
    response = send_file(path, mimetype="application/octet-stream", as_attachment=True, etag=backup.sha256 or False)
    response.headers["Cache-Control"] = "no-store"
    return response


@routes.change(
    "DELETE", "/api/projects/<project_id>/backups/<backup_id>", action="backup.delete", who="owner", body=EmptyBody,
    final=backup_response, answers={202: BackupAcceptedOut, 200: BackupAcceptedOut},
)  # fmt: skip
def forget(call: Call, tx: Transaction, project_id: str, backup_id: str) -> ViewResponse:
    """Deletes a backup."""
    project = projects.find_owned(tx, project_id, call.owner_id, lock=True)
    backup = _of(call, tx, project_id, backup_id)
    return _accepted(tx, project, lifecycle.forget_backup(tx, project.id, backup.id, **_by(call)))


@routes.change(
    "POST", "/api/projects/<project_id>/backups/<backup_id>/verify", action="backup.verify", who="owner",
    body=EmptyBody,
    final=backup_response, answers={202: BackupAcceptedOut, 200: BackupAcceptedOut},
)  # fmt: skip
def verify(call: Call, tx: Transaction, project_id: str, backup_id: str) -> ViewResponse:
    """Proves a backup by restoring it into a database of its own."""
    project = projects.find_owned(tx, project_id, call.owner_id, lock=True)
    backup = _of(call, tx, project_id, backup_id)
    return _accepted(tx, project, lifecycle.verify_backup(tx, project.id, backup.id, **_by(call)))


@routes.change(
    "POST", "/api/projects/<project_id>/backups/<backup_id>/restore", action="backup.restore", who="owner",
    body=Restore, final=finished_response, answers={202: ProjectAcceptedOut, 200: ProjectAcceptedOut},
)  # fmt: skip
def restore(call: Call, tx: Transaction, project_id: str, backup_id: str) -> ViewResponse:
    """Restores a backup: into the same project, or as a new one."""
    backup = _of(call, tx, project_id, backup_id)
    if call.body.into == "same":
        return request_job(call, tx, project_id, lifecycle.restore, backup_id=backup.id, partial=call.body.partial)
    source = projects.find_owned(tx, project_id, call.owner_id)
    made = projects.create(
        tx, call.owner_id, name=call.body.name, pool_size=source.pool_size, quota=default_quota(call.world.settings)
    )
    capacity.check_pools_fit(tx, call.world.settings)
    projects.mark_restoring(tx, made.id)
    return request_job(call, tx, made.id, lifecycle.restore, backup_id=backup.id, partial=call.body.partial)


@routes.change(
    "POST", "/api/projects/<project_id>/undo-restore", action="project.undo_restore", who="owner", body=EmptyBody,
    final=finished_response, answers={202: ProjectAcceptedOut, 200: ProjectAcceptedOut},
)  # fmt: skip
def undo(call: Call, tx: Transaction, project_id: str) -> ViewResponse:
    """Takes a project back to what it was before its last restore."""
    return request_job(call, tx, project_id, lifecycle.undo_restore)


@routes.change(
    "POST", "/api/projects/<project_id>/keep-restore", action="project.keep_restore", who="owner", body=EmptyBody,
    final=finished_response, answers={202: ProjectAcceptedOut, 200: ProjectAcceptedOut},
)  # fmt: skip
def keep(call: Call, tx: Transaction, project_id: str) -> ViewResponse:
    """Drops what was kept from before a project's last restore."""
    return request_job(call, tx, project_id, lifecycle.confirm_restore)


@routes.get("/api/projects/deleted", who="owner", answers={200: DeletedOut})
def deleted(call: Call) -> ViewResponse:
    """Lists deleted projects that can be brought back, each by its newest backup."""
    with call.world.infra.database.autocommit() as tx:
        return ViewResponse(
            {"backups": [backup_out(backup) for backup in backups.newest_of_deleted_projects(tx, call.owner_id)]}
        )


@routes.change(
    "POST", "/api/projects/restore", action="project.undelete", who="owner", body=Undelete, final=created_response,
    answers={202: ProjectAcceptedOut, 201: ProjectAcceptedOut, 200: ProjectAcceptedOut},
)  # fmt: skip
def undelete(call: Call, tx: Transaction) -> ViewResponse:
    """Brings a deleted project back, with the keys that its clients have."""
    backup = backups.find(tx, call.body.backup_id)
    projects.undelete(tx, backup.scope, call.owner_id, name=call.body.name, quota=default_quota(call.world.settings))
    capacity.check_pools_fit(tx, call.world.settings)
    return request_job(call, tx, backup.scope, lifecycle.restore, backup_id=backup.id, partial=call.body.partial)


def backup_out(backup: Backup) -> dict[str, Any]:
    """Return a backup as every answer shows it."""
    return {
        "id": backup.id,
        "projectId": None if backup.scope == backups.PLATFORM else backup.scope,
        "projectName": backup.project_name,
        "file": _file_name(backup),
        "format": backup.format,
        "bytes": backup.bytes,
        "sha256": backup.sha256,
        "databaseBytes": backup.database_bytes,
        "files": backup.objects,
        "fileBytes": backup.object_bytes,
        "addedBytes": backup.added_bytes,
        "durationMs": backup.duration_ms,
        "final": backup.final,
        "keyId": backup.key_id,
        "createdAt": rfc3339(backup.created_at),
        "finishedAt": rfc3339(backup.finished_at),
        "verifiedAt": rfc3339(backup.verified_at),
        "verifyError": backup.verify_error,
        "restoreMs": backup.verify_ms,
        "expiresAt": rfc3339(backup.expires_at),
        "offsiteAt": rfc3339(backup.offsite_at),
    }


def _of(call: Call, tx: Transaction, project_id: str, backup_id: str) -> Backup:
    """Return a backup of the owner's project. Raises ProjectNotFound, BackupNotFound."""
    project = projects.find_owned(tx, project_id, call.owner_id)
    backup = backups.find(tx, backup_id)
    if backup.scope != project.id:
        raise BackupNotFound("there is no such backup")
    return backup


def _accepted(tx: Transaction, project: Project, job: Job) -> ViewResponse:
    answer = waiting.accepted_response(job_json(tx, job), projectId=project.id)
    return ViewResponse(answer.body, answer.status, answer.headers, answer.job_id, project.id)


def _by(call: Call) -> dict[str, Any]:
    return {"by": call.owner_id, "owner_id": call.owner_id, "request_id": call.request_id}


def _file_name(backup: Backup) -> str:
    return file_name(backup.stem, backup.format)
