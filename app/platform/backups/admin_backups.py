"""Backups as operators see them: how far back each project could be brought, and backing everything up now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.http import waiting
from app.http.answers import AcceptedOut
from app.http.models import EmptyBody
from app.http.routing import Call, Routes, ViewResponse
from app.platform.backups.answers_backups import ReportOut
from app.platform.backups.backups import backup_out
from app.platform.operations.schedules import run_response
from catalog import backups
from jobs.engine.enqueue import enqueue
from jobs.engine.view import job_json, rfc3339
from jobs.kinds.backup.backup_fleet import BackupFleet

if TYPE_CHECKING:
    from infra.postgres.database import Transaction

routes = Routes("backups_of_all")
LISTED = 50


@routes.get("/api/admin/backups", who="operator", answers={200: ReportOut})
def report(call: Call) -> ViewResponse:
    """Reports for each project how old its newest backup is, when one was proven and how long that took."""
    with call.world.infra.database.autocommit() as tx:
        lines = backups.report(tx)
        own = backups.page(tx, backups.PLATFORM, before=None, limit=LISTED)
    return ViewResponse({"report": [_line(row) for row in lines], "backups": [backup_out(backup) for backup in own]})


@routes.change(
    "POST", "/api/admin/backups", action="backup.all", who="operator", body=EmptyBody, final=run_response,
    answers={202: AcceptedOut, 200: AcceptedOut},
)  # fmt: skip
def create(call: Call, tx: Transaction) -> ViewResponse:
    """Backs up the platform and every project."""
    job = enqueue(tx, BackupFleet(), by=call.owner_id, request_id=call.request_id)
    return waiting.accepted_response(job_json(tx, job))


def _line(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "projectId": None if row["project_id"] == backups.PLATFORM else row["project_id"],
        "name": row["name"],
        "status": row["status"],
        "backups": row["backups"],
        "backupAt": rfc3339(row["backup_at"]),
        "bytes": row["bytes"],
        "files": row["objects"],
        "fileBytes": row["object_bytes"],
        "verifiedBackupAt": rfc3339(row["verified_backup_at"]),
        "verifiedAt": rfc3339(row["verified_at"]),
        "verifyError": row["verify_error"],
        "offsiteBackupAt": rfc3339(row["offsite_backup_at"]),
        "rpoSeconds": None if row["rpo_seconds"] is None else float(row["rpo_seconds"]),
        "rtoSeconds": None if row["verify_ms"] is None else row["verify_ms"] / 1000,
    }
