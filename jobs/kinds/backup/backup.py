"""project.backup: a project's database in one encrypted file, with a manifest that says what it has to hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalog import backups as catalogue
from catalog import project_states as states
from jobs.backup.writing import backup_key_id, list_set, name_backup, remove_set, write_backup, written
from jobs.engine.commands import JobConflict
from jobs.engine.enqueue import enqueue
from jobs.engine.kind import BULK, AtomicStep, Step, kind
from jobs.kinds.backup.verify_backup import VerifyBackup

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.backup.writing import WrittenSet
    from jobs.engine.run import AtomicRun

AT_A_TIME = 2


def list_backup(run: AtomicRun[Any], tx: Transaction, found: WrittenSet) -> None:
    """List the backup from now on, and let a project's be proven where that is wished."""
    backup = catalogue.of_job(tx, run.job_id)
    list_set(run, tx, backup, found)
    if backup.scope == catalogue.PLATFORM:
        return
    run.result.update(projectId=run.args.project_id)
    if run.settings.backup_verify == "always" and not backup.final:
        job = enqueue(tx, VerifyBackup(run.args.project_id, backup.id))
        run.result["verifyJobId"] = job.id


def on_retry(args: BackupProject, tx: Transaction) -> None:
    """Allow the backup to be made once more. Raises JobConflict when the project is in no state for one."""
    status = states.state_of(tx, args.project_id)
    if status not in states.SETTLED:
        raise JobConflict(f"the project is {status or 'deleted'}")


@kind(
    "project.backup",
    steps=(
        AtomicStep(name_backup, reads=backup_key_id, undo=remove_set, title="Name the backup"),
        Step(write_backup, lasting=True, long=True, title="Dump, compress, encrypt"),
        AtomicStep(list_backup, reads=written, title="List the backup"),
    ),
    queue=BULK,
    lane="bulk",
    on_failure="undo",
    max_running=AT_A_TIME,
    coalesces=True,
    conflicts=("project.restore", "project.delete", "project.migrate"),
    retried=on_retry,
)
@dataclass(frozen=True)
class BackupProject:
    """Backs up one project."""

    project_id: str
