"""platform.retention: old backups go, and what was kept from before restores; never the newest that were proven."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import backups as catalogue
from infra.backup.store import BackupStore
from jobs.backup import backups
from jobs.engine.enqueue import enqueue
from jobs.engine.kind import BULK, BY_SIZE_SECONDS, AtomicStep, Step, kind
from jobs.kinds.backup.forget_database import ForgetDatabase
from jobs.projects.files import remove_orphaned_files

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.engine.run import AtomicRun, Run

TRANSFER_DAYS = 7


def enqueue_drops(run: AtomicRun[RetainBackups], tx: Transaction) -> None:
    """Enqueue a job for each project that drops what was kept from before a restore."""
    found = catalogue.expired_kept_databases(tx)
    for row in found:
        enqueue(tx, ForgetDatabase(row["project_id"], row["job_id"]))
    run.result["databases"] = len(found)


def remove_old_backups(run: Run[RetainBackups]) -> None:
    """Remove the files and then the row of each backup that nobody has to keep any more."""
    settings = run.infra.settings
    kept = {
        "days": settings.backup_retention_days,
        "count": settings.backup_retention_count,
        "final_days": settings.final_backup_days,
    }
    with run.infra.database.autocommit() as tx:
        doomed = catalogue.expired(tx, **kept)
    removed = 0
    for done, row in enumerate(doomed):
        run.check()
        run.progress(done, len(doomed), row["stem"])
        # What was to go when we looked may be the last one by now, or the newest that was proven: ask once more.
        with run.infra.database.autocommit() as tx:
            again = catalogue.expired(tx, **kept)
        if row["id"] in {other["id"] for other in again}:
            BackupStore(settings).remove(row["stem"])
            with run.transaction() as tx:
                catalogue.delete(tx, row["id"])
            removed += 1
            run.log(f"removed {row['stem']}")
    run.result["removed"] = removed


def remove_unneeded_copies(run: Run[RetainBackups]) -> None:
    """Remove the copies of files that no backup needs any more, also what an interrupted backup has left."""
    for scope in backups.store(run.infra).objects.unswept():
        run.check()
        backups.sweep(run, scope)


def remove_strays(run: Run[RetainBackups]) -> None:
    """Remove what an interrupted backup has left. A whole set that the catalogue does not know stays."""
    with run.transaction() as tx:
        catalogue.delete_abandoned(tx)
    for path in BackupStore(run.infra.settings).unfinished():
        run.check()
        with run.infra.database.autocommit() as tx:
            stem = path.name.removeprefix(".").partition(".")[0]
            if not catalogue.is_under_way(tx, stem):
                path.unlink(missing_ok=True)
                run.log(f"removed an unfinished file of {stem}")


def remove_old_transfers(run: Run[RetainBackups]) -> None:
    """Remove exports that nobody has fetched for so long, and what was left of imports."""
    settings = run.infra.settings
    oldest = time.time() - TRANSFER_DAYS * 86_400
    for folder in (settings.exports_folder, settings.imports_folder):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            run.check()
            if path.is_file() and path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)
                run.log(f"removed {path.name}")


@kind(
    "platform.retention",
    steps=(
        AtomicStep(enqueue_drops, title="Enqueue drops of kept databases"),
        Step(remove_old_backups, seconds=BY_SIZE_SECONDS),
        Step(remove_strays, title="Remove unfinished files"),
        Step(remove_unneeded_copies, seconds=BY_SIZE_SECONDS, title="Remove copies of files that no backup needs"),
        Step(remove_old_transfers, title="Remove old exports"),
        Step(remove_orphaned_files, seconds=BY_SIZE_SECONDS, title="Remove files of deleted projects"),
    ),
    queue=BULK,
    lane=None,
    max_running=1,
    coalesces=True,
)
@dataclass(frozen=True)
class RetainBackups:
    """Removes what is old; twice is harmless."""
