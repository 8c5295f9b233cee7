"""Backups as the catalogue knows them: what was written, when it was proven, and how long it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalog.ids import is_id, new_id
from catalog.project_states import SETS
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from datetime import datetime

    from infra.backup.sets import Manifest
    from infra.postgres.database import Transaction

SQL = statements(__file__)
PLATFORM = "platform"


class BackupNotFound(Exception):
    """There is no such backup that the caller may see."""


@dataclass(frozen=True)
class Backup:
    """A row of the table backups.

    scope        a project's id, or 'platform'
    objects, object_bytes, added_bytes
                 files of the project's in it, their bytes, and what they take up beside those of the backups before;
                 None where it was made before backups held files
    """

    id: str
    scope: str
    project_name: str | None
    owner_id: str | None
    stem: str
    format: str
    key_id: str
    final: bool
    job_id: str | None
    created_at: datetime
    finished_at: datetime | None
    bytes: int | None
    database_bytes: int | None
    sha256: str | None
    duration_ms: int | None
    verified_at: datetime | None
    verify_ms: int | None
    verify_error: str | None
    expires_at: datetime | None
    offsite_at: datetime | None
    objects: int | None
    object_bytes: int | None
    added_bytes: int | None


def begin(tx: Transaction, scope: str, job_id: str, *, form: str, key_id: str, final: bool = False) -> Backup:
    """Give a job's backup its id and the name of its files, once; it is listed only when it is finished."""
    values = {"id": new_id("bkp"), "scope": scope, "job": job_id, "format": form, "key": key_id, "final": final}
    tx.execute(SQL.begin, values)
    return of_job(tx, job_id)


def of_job(tx: Transaction, job_id: str) -> Backup:
    """Return the backup that a job makes, finished or not. Raises BackupNotFound."""
    return _there(tx.one(Backup, SQL.of_job, {"job": job_id}))


def find(tx: Transaction, backup_id: str) -> Backup:
    """Return a finished backup. Raises BackupNotFound."""
    return _there(tx.one(Backup, SQL.find, {"id": backup_id}) if is_id("bkp", backup_id) else None)


def page(tx: Transaction, scope: str, *, before: str | None, limit: int) -> list[Backup]:
    """Return finished backups, newest first, from the one after the id `before`."""
    return tx.all(Backup, SQL.page, {"scope": scope, "before": before, "limit": limit})


def newest(tx: Transaction, scope: str) -> Backup | None:
    """Return the newest finished backup of a project, or None."""
    return tx.one(Backup, SQL.newest, {"scope": scope})


def finish(tx: Transaction, backup: Backup, manifest: Manifest, *, final_days: int) -> None:
    """List a backup from now on, as its manifest says it."""
    tx.execute(SQL.finish, {"id": backup.id, "days": final_days, **_figures(manifest)})


def demote_last_backup(tx: Transaction, job_id: str) -> None:
    """Keep the finished backup of a deletion that did not finish like any other, no longer as its last one."""
    tx.execute(SQL.let_go, {"job": job_id})


def delete(tx: Transaction, backup_id: str) -> None:
    """Remove the row; the files are another matter."""
    tx.execute(SQL.forget, {"id": backup_id})


def mark_verified(tx: Transaction, backup_id: str, milliseconds: int) -> None:
    """Record that a backup was restored and found to be what was backed up."""
    tx.execute(SQL.verified, {"id": backup_id, "ms": milliseconds})


def mark_not_verified(tx: Transaction, backup_id: str, reason: str) -> None:
    """Record why a backup could not be verified."""
    tx.execute(SQL.not_verified, {"id": backup_id, "reason": reason})


def report(tx: Transaction) -> list[dict[str, Any]]:
    """Return for each project, and for the platform, how far back it could be brought and how long that takes."""
    return tx.rows(SQL.report, SETS)


def worst_figures(tx: Transaction) -> dict[str, Any]:
    """Return the worst figures over all projects.

    They are: projects_without_backup, backup_seconds, verified_seconds, offsite_seconds, faulty; and file_bytes, which
    is of all of them.
    """
    return tx.row(SQL.worst, SETS) or {}


def expired(tx: Transaction, *, days: int, count: int, final_days: int) -> list[dict[str, Any]]:
    """Return id, scope and stem of what retention takes away.

    count       so many verified ones of a project stay at any age
    final_days  how long those of a deleted project stay
    """
    return tx.rows(SQL.doomed, {"days": days, "count": count, "final_days": final_days})


def offsite_stems(tx: Transaction) -> set[str]:
    """Return the names of the sets that are known to lie on another machine, byte for byte."""
    return {row["stem"] for row in tx.rows(SQL.offsite_stems)}


def set_offsite(tx: Transaction, stems: list[str]) -> None:
    """Record that these sets lie on another machine, byte for byte."""
    tx.execute(SQL.set_offsite, {"stems": stems})


def expired_offsite(tx: Transaction, stems: list[str], *, days: int, count: int) -> list[str]:
    """Return which of the sets that lie on another machine are old enough to go.

    count  so many of the newest of a project stay at any age
    """
    return [row["stem"] for row in tx.rows(SQL.doomed_offsite, {"stems": stems, "days": days, "count": count})]


def all_of_scope(tx: Transaction, scope: str) -> list[Backup]:
    """Return every backup of a project, unfinished ones too, oldest first."""
    return tx.all(Backup, SQL.of_scope, {"scope": scope})


def delete_abandoned(tx: Transaction) -> int:
    """Forget backups that no job is about to finish any more; return how many there were."""
    return tx.execute(SQL.forget_abandoned)


def newest_of_deleted_projects(tx: Transaction, owner_id: str) -> list[Backup]:
    """Return the newest backup of each deleted project of an owner's."""
    return tx.all(Backup, SQL.restorable, {"owner": owner_id})


def newest_of_each(tx: Transaction, states: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return scope, id and verified_at of the newest backup of each project in one of these states."""
    return tx.rows(SQL.unverified, {"states": list(states)})


def keep_database(tx: Transaction, project_id: str, backup_id: str, job_id: str, hours: int) -> datetime:
    """Write down that the database of before a restore is kept; return until when."""
    values = {"project": project_id, "backup": backup_id, "job": job_id, "hours": hours}
    until: datetime = tx.value(SQL.keep_database, values)
    return until


def kept_database(tx: Transaction, project_id: str) -> dict[str, Any] | None:
    """Return job_id, backup_id and kept_until of the database kept from before a restore, or None."""
    return tx.row(SQL.kept_database, {"project": project_id})


def adopt(tx: Transaction, manifest: Manifest) -> bool:
    """List a whole set that lies in the backups folder and is not known; say whether it was not."""
    values = {
        "id": manifest.id,
        "scope": manifest.scope,
        "stem": manifest.stem,
        "format": manifest.format,
        "key": manifest.key_id,
        "at": manifest.created_at,
        **_figures(manifest),
    }
    # One whose job was under way when the platform was backed up is known, but not as finished.
    tx.execute(SQL.forget_unfinished, values)
    return tx.execute(SQL.adopt, values) == 1


def is_under_way(tx: Transaction, stem: str) -> bool:
    """Return whether a job is still writing the set of that name."""
    return bool(tx.value(SQL.is_under_way, {"stem": stem}))


def expired_kept_databases(tx: Transaction) -> list[dict[str, Any]]:
    """Return project_id and job_id of what was kept from before restores, and no longer has to be."""
    return tx.rows(SQL.outlived)


def forget_database(tx: Transaction, project_id: str) -> None:
    """Record that nothing is kept any more from before a restore."""
    tx.execute(SQL.forget_database, {"project": project_id})


def _figures(manifest: Manifest) -> dict[str, Any]:
    """Return what is told of a set. bytes: of its own files; sha256: of the database's."""
    return {
        "bytes": manifest.bytes,
        "database_bytes": manifest.database_bytes,
        "sha256": manifest.files[0].sha256,
        "objects": manifest.objects,
        "object_bytes": manifest.object_bytes,
        "added_bytes": manifest.added_bytes,
    }


def _there(found: Backup | None) -> Backup:
    if found is None:
        raise BackupNotFound("there is no such backup")
    return found
