"""project.forget_backup: one backup is deleted, because its owner says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import backups as catalogue
from jobs.backup import backups
from jobs.engine.kind import BULK, AtomicStep, Step, kind

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.engine.run import AtomicRun, Run


def remove_files(run: Run[ForgetBackup]) -> None:
    """Remove the files, the manifest first."""
    with run.infra.database.autocommit() as tx:
        try:
            backup = catalogue.find(tx, run.args.backup_id)
        except catalogue.BackupNotFound:
            return
    run.check()
    backups.store(run.infra).remove(backup.stem)
    backups.sweep(run, backup.scope)


def unlist_backup(run: AtomicRun[ForgetBackup], tx: Transaction) -> None:
    """List it no more."""
    catalogue.delete(tx, run.args.backup_id)
    run.result.update(projectId=run.args.project_id, backupId=run.args.backup_id)


@kind(
    "project.forget_backup",
    steps=(
        Step(remove_files, no_return=True, title="Remove the files"),
        AtomicStep(unlist_backup, title="Remove the backup from the list"),
    ),
    queue=BULK,
    lane="bulk",
    coalesces=True,
    conflicts=("project.restore",),
)
@dataclass(frozen=True)
class ForgetBackup:
    """Deletes one backup of a project."""

    project_id: str
    backup_id: str
