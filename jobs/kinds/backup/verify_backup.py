"""project.verify_backup: a backup is proven by restoring it into a database of its own and comparing the two."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import backups as catalogue
from catalog import names
from catalog import project_states as states
from catalog.backups import BackupNotFound
from infra.backup.differences import shortened
from infra.errors import Refused
from jobs.backup import backups, restoring
from jobs.engine.errors import GiveUp
from jobs.engine.kind import BULK, AtomicStep, Step, kind

if TYPE_CHECKING:
    from infra.backup.verified_set import VerifiedSet
    from infra.postgres.database import Transaction
    from jobs.engine.run import AtomicRun, Run


def restore_on_trial(run: Run[VerifyBackup]) -> None:
    """Restore the backup into a staging database, compare, ask it as the data API would, and leave nothing."""
    project, database = run.args.project_id, names.staging(run.args.project_id, "trial")
    with run.infra.database.autocommit() as tx:
        if states.state_of(tx, project) not in states.SETTLED:
            raise GiveUp("the project is neither active nor paused")
        try:
            backup = catalogue.find(tx, run.args.backup_id)
        except BackupNotFound as error:
            raise GiveUp(str(error)) from error
    if backup.scope != project:
        raise GiveUp("the backup is of another project")
    began = time.monotonic()
    run.ledger.mark_intended("database", database)
    source = backups.opened(run.infra, backup.stem, files=False)
    try:
        restored = restoring.restore_staging(run, source, database, project=project, mark=None)
        took = time.monotonic() - began
        run.check()
        asked = restoring.check_staging(run, source.contents, database, project)
    finally:
        restoring.drop_staging(run, database, project=project)
    run.ledger.mark_gone("database", database)
    prove_files(run, source)
    run.result.update(
        projectId=project,
        backupId=backup.id,
        tables=len(source.contents.rows),
        rows=sum(source.contents.rows.values()),
        objects=len(source.contents.objects),
        statements=restored.played.statements,
        tablesAsked=asked,
        files=source.manifest.objects or 0,
        restoreMs=round(took * 1000),
    )
    restored.report(run)


def prove_files(run: Run[VerifyBackup], source: VerifiedSet) -> None:
    """Read back every copy of a file. Raises Refused, naming each that is not what was backed up."""
    if source.files is None:
        return
    found = list(source.files.faults(backups.monitor(run, "of files read"), thorough=True))
    if found:
        raise Refused(f"{len(found)} of {source.manifest.objects} files are damaged: {'; '.join(shortened(found))}")


def remove_trial(run: Run[VerifyBackup]) -> None:
    """Remove what is left of the trial."""
    database = names.staging(run.args.project_id, "trial")
    restoring.drop_staging(run, database, project=run.args.project_id)
    run.ledger.mark_gone("database", database)


def mark_verified(run: AtomicRun[VerifyBackup], tx: Transaction) -> None:
    """Record that the backup was proven."""
    catalogue.mark_verified(tx, run.args.backup_id, int(run.result.get("restoreMs", 0)))


def on_failed(args: VerifyBackup, tx: Transaction, reason: str) -> None:
    """Record in the catalogue what is wrong with the backup."""
    catalogue.mark_not_verified(tx, args.backup_id, reason)


@kind(
    "project.verify_backup",
    steps=(
        Step(restore_on_trial, undo=remove_trial, long=True, title="Restore on trial, compare"),
        AtomicStep(mark_verified),
    ),
    queue=BULK,
    lane="bulk",
    on_failure="undo",
    max_running=1,
    coalesces=True,
    conflicts=("project.restore", "project.delete"),
    failed=on_failed,
)
@dataclass(frozen=True)
class VerifyBackup:
    """Proves one backup of a project that is there."""

    project_id: str
    backup_id: str
