"""project.backup: a project's database in one encrypted file, with a manifest that says what it has to hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import backups as catalogue
from catalog import project_states as states
from jobs.backup.writing import begin, list_set, remove_set, write_backup
from jobs.engine.commands import JobConflict
from jobs.engine.enqueue import enqueue
from jobs.engine.errors import GiveUp
from jobs.engine.kind import BULK, Step, kind
from jobs.kinds.backup.verify_backup import VerifyBackup

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.engine.run import Run

AT_A_TIME = 2


def name_backup(run: Run[BackupProject], tx: Transaction) -> None:
    """Give the backup its id and its files' name. Raises GiveUp when the project is in no state for one."""
    project = run.args.project_id
    status = states.state_of(tx, project)
    if status not in states.SETTLED:
        raise GiveUp(f"the project is {status or 'deleted'}")
    begin(run, tx, project)


def list_backup(run: Run[BackupProject], tx: Transaction) -> None:
    """List the backup from now on, and let it be proven where that is wished."""
    backup, settings = catalogue.of_job(tx, run.job_id), run.infra.settings
    list_set(run, tx, backup)
    run.result.update(projectId=run.args.project_id)
    if settings.backup_verify == "always" and not backup.final:
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
        Step(name_backup, atomic=True, undo=remove_set, title="Name the backup"),
        Step(write_backup, lasting=True, long=True, title="Dump, compress, encrypt"),
        Step(list_backup, atomic=True, title="List the backup"),
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
