"""platform.backup: the platform's own database: owners, projects, jobs, and every secret, sealed as it lies there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import backups as catalogue
from infra.backup.set_plan import DumpSource
from jobs.backup import backups
from jobs.backup.writing import begin, list_set, remove_set
from jobs.engine.kind import BULK, Step, kind

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.engine.run import Run


def name_backup(run: Run[BackupPlatform], tx: Transaction) -> None:
    """Give the backup its id and its files' name."""
    begin(run, tx, catalogue.PLATFORM)


def write_backup(run: Run[BackupPlatform]) -> None:
    """Ensure that the files and the manifest exist."""
    with run.infra.database.autocommit() as tx:
        backup = catalogue.of_job(tx, run.job_id)
    backups.write(run, backup, DumpSource(run.infra.database.conninfo, run.session), more={})


def list_backup(run: Run[BackupPlatform], tx: Transaction) -> None:
    """List the backup from now on."""
    list_set(run, tx, catalogue.of_job(tx, run.job_id))


@kind(
    "platform.backup",
    steps=(
        Step(name_backup, atomic=True, undo=remove_set, title="Name the backup"),
        Step(write_backup, lasting=True, long=True, title="Dump, compress, encrypt"),
        Step(list_backup, atomic=True, title="List the backup"),
    ),
    queue=BULK,
    lane=None,
    on_failure="undo",
    max_running=1,
    coalesces=True,
)
@dataclass(frozen=True)
class BackupPlatform:
    """Backs up the platform's own database."""
