"""What the kinds about backups share: which set is written for which row of the catalogue, and who may open one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from catalog import backups, names
from catalog.settings_model import SETTINGS_SECRETS
from infra.backup.monitor import UNWATCHED, ProgressMonitor
from infra.backup.set_plan import SetPlan
from infra.backup.store import BackupStore
from infra.errors import Refused
from jobs.projects import access_keys, api_keys

if TYPE_CHECKING:
    from catalog.backups import Backup
    from infra.backup.dumps import Format
    from infra.backup.objects.part import ObjectSource
    from infra.backup.set_plan import DumpSource
    from infra.backup.verified_set import VerifiedSet
    from infra.composition import Infra
    from jobs.engine.run import Run

# What a project that is brought back goes on with, so that the keys in its clients stay good.
KEYS = (names.JWT_SECRET, names.ANON_KEY, names.SERVICE_KEY)
KEPT_SECRETS = (*KEYS, *SETTINGS_SECRETS)


def is_kept(name: str) -> bool:
    """Return whether a secret of this name goes with a backup."""
    return name in KEPT_SECRETS or is_of_clients(name)


def is_of_clients(name: str) -> bool:
    """Return whether a secret comes back with a project that was gone, and not where one is restored in its place.

    A key that was revoked since the backup would be good again there.
    """
    return name == names.SIGNING_KEY or name.startswith((api_keys.PREFIX, access_keys.PREFIX))


def store(infra: Infra) -> BackupStore:
    """Return the backups of this installation."""
    return BackupStore(infra.settings)


def monitor(run: Run[Any], word: str) -> ProgressMonitor:
    """Return by what a job follows a long act and ends it at a safe point. word: what was done with the bytes."""

    def progress(done: int, total: int) -> None:
        run.progress(done, total, f"{done // 1_000_000} MB {word}")

    return ProgressMonitor(run.check, progress)


def write(
    run: Run[Any],
    backup: Backup,
    source: DumpSource,
    *,
    more: dict[str, Any],
    objects: ObjectSource | None = None,
    fresh: bool = False,
) -> None:
    """Ensure that the set of a backup is there; one that is whole already stays.

    more     what is sealed beside what was found
    objects  where the files are that the database names
    fresh    whether a whole set is written once more when the database was written to since

    Raises DiskFull, Unavailable.
    """
    planned = plan(run, backup, more)
    store(run.infra).write(planned, source, monitor(run, "backed up"), objects=objects, fresh=fresh)


def plan(run: Run[Any], backup: Backup, details: dict[str, Any]) -> SetPlan:
    """Return what the set of a backup is to be."""
    with run.infra.database.autocommit() as tx:
        last = backups.newest(tx, backup.scope)
    return SetPlan(
        id=backup.id,
        scope=backup.scope,
        stem=backup.stem,
        created_at=backup.created_at.isoformat(),
        format=cast("Format", backup.format),
        key_id=backup.key_id,
        schema=run.infra.databases.templates.version,
        details=details,
        last=(last.bytes or 0, last.database_bytes or 0) if last else (0, 0),
    )


def is_whole(run: Run[Any]) -> bool:
    """Return whether the set of this job's backup is written to its end; one that is listed was."""
    with run.infra.database.autocommit() as tx:
        backup = backups.of_job(tx, run.job_id)
    return backup.finished_at is not None or store(run.infra).has(backup.stem)


def remove(run: Run[Any]) -> None:
    """Take back what a job has written of its backup. One that is listed stays: somebody may rely on it by now."""
    with run.infra.database.autocommit() as tx:
        try:
            backup = backups.of_job(tx, run.job_id)
        except backups.BackupNotFound:
            return
    if backup.finished_at is not None:
        return
    store(run.infra).remove(backup.stem)
    sweep(run, backup.scope)
    with run.transaction() as tx:
        backups.delete(tx, backup.id)


def holds_files(infra: Infra, stem: str) -> bool:
    """Return whether a set holds the files of its project; one of a version before, or that does not open, does not."""
    try:
        return store(infra).read(stem).objects is not None
    except Refused:
        return False


def sweep(run: Run[Any], scope: str) -> None:
    """Remove the copies of files that no backup of a project's needs any more, as far as that is known of all."""
    try:
        removed = store(run.infra).objects.sweep(scope)
    except Refused as error:
        run.log(f"copies of files of {scope} stay: {error}")
        return
    if removed:
        run.log(f"removed {removed} copies of files of {scope}")


def opened(infra: Infra, stem: str, monitor: ProgressMonitor = UNWATCHED, *, files: bool = True) -> VerifiedSet:
    """Check a whole set before anything is done with it. Raises Refused, naming what is wrong with it.

    files  whether the copies of files are checked, too
    """
    newest = infra.databases.templates.version
    return store(infra).open_verified(stem, newest_schema=newest, monitor=monitor, files=files)
