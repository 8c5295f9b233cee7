"""Steps that every kind takes which makes a backup: name it, write its set, list it, take it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalog import backups as catalogue
from catalog import names
from catalog import project_states as states
from infra.backup.differences import shortened
from infra.backup.set_plan import DumpSource
from infra.disk import require_disk_space
from infra.postgres.sql import statements
from jobs.backup import backups, stored_files
from jobs.engine.errors import GiveUp
from jobs.projects.data_plane import stored_secrets

if TYPE_CHECKING:
    from catalog.backups import Backup
    from infra.backup.sets import Manifest
    from infra.postgres.database import Transaction
    from jobs.engine.run import AtomicRun, Run

SQL = statements(__file__)


@dataclass(frozen=True)
class WrittenSet:
    """What stands in the manifest of a backup that lies there.

    left_out  what could not be backed up, or was not whole, in words
    """

    manifest: Manifest
    left_out: list[str]


def backup_key_id(run: Run[Any]) -> str:
    """Return the id of the key that backups are encrypted with now."""
    return backups.store(run.infra).key_id()


def name_backup(run: AtomicRun[Any], tx: Transaction, key_id: str) -> None:
    """Give the backup its id and its files' name. Raises GiveUp when the project is in no state for one."""
    scope = scope_of(run.args)
    if scope != catalogue.PLATFORM and (status := states.state_of(tx, scope)) not in states.SETTLED:
        raise GiveUp(f"the project is {status or 'deleted'}")
    catalogue.begin(tx, scope, run.job_id, form=run.settings.backup_format, key_id=key_id)


def scope_of(args: Any) -> str:
    """Return what a job backs up: its project, or else the platform."""
    return str(getattr(args, "project_id", catalogue.PLATFORM))


def write_backup(run: Run[Any], *, fresh: bool = False, last: bool = False) -> None:
    """Ensure that the set of a backup is there.

    fresh  of what is to be backed up as it is by now
    last   what is backed up goes then, which makes room: it is begun with little of it, too

    Raises DiskFull.
    """
    if not last:
        require_disk_space(run.infra.settings)
    scope = scope_of(run.args)
    with run.infra.database.autocommit() as tx:
        backup = catalogue.of_job(tx, run.job_id)
        row = tx.row(SQL.project, {"project": scope}) or {}
    if scope == catalogue.PLATFORM:
        backups.write(
            run,
            backup,
            DumpSource(run.infra.databases.cluster, run.infra.platform_conninfo, run.session),
            more={},
        )
        return
    known, login = stored_secrets(run), names.roles(scope).dump
    more = {
        "name": row["name"],
        "poolSize": row["pool_size"],
        "settings": row["settings"],
        "secrets": {name: value for name, value in known.items() if backups.is_kept(name)},
    }
    uri = run.infra.databases.uri(names.database(scope), login, known[names.password(login)])
    source = DumpSource(run.infra.databases.cluster, uri, run.session, scope)
    backups.write(run, backup, source, more=more, objects=stored_files.source_of(run, scope), fresh=fresh)


def remove_set(run: Run[Any]) -> None:
    """Take back what was written."""
    backups.remove(run)


def written(run: Run[Any]) -> WrittenSet:
    """Return what stands in the manifest of this job's backup. Raises Refused, naming what is wrong with it."""
    with run.infra.database.autocommit() as tx:
        backup = catalogue.of_job(tx, run.job_id)
    store = backups.store(run.infra)
    manifest = store.read(backup.stem)
    details = store.details(manifest)
    return WrittenSet(manifest, [*(details["contents"].get("left_out") or ()), *details.get("fileRemarks", ())])


def list_set(run: AtomicRun[Any], tx: Transaction, backup: Backup, found: WrittenSet) -> None:
    """Take into the catalogue what the manifest says of a backup. Raises GiveUp when it is that of another one."""
    manifest = found.manifest
    if manifest.id != backup.id:
        raise GiveUp(f"the manifest is that of another backup ({manifest.id})")
    if found.left_out:
        run.result["remarks"] = shortened(found.left_out)
    file = manifest.files[0]
    catalogue.finish(tx, backup, manifest, final_days=run.settings.final_backup_days)
    run.result.update(
        backupId=backup.id,
        file=file.name,
        bytes=manifest.bytes,
        sha256=file.sha256,
        files=manifest.objects or 0,
        fileBytes=manifest.object_bytes or 0,
        addedBytes=manifest.added_bytes or 0,
    )
