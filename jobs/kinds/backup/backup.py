"""project.backup: a project's database in one encrypted file, with a manifest that says what it has to hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalog import backups as catalogue
from catalog import names
from catalog import project_states as states
from infra.backup import keys as backup_keys
from infra.backup import sets
from infra.postgres.sql import statements
from jobs.backup import backups
from jobs.engine.commands import JobConflict
from jobs.engine.enqueue import enqueue
from jobs.engine.errors import GiveUp
from jobs.engine.kind import BULK, AtomicStep, Step, kind
from jobs.kinds.backup.verify_backup import VerifyBackup
from jobs.projects.data_plane import stored_secrets

if TYPE_CHECKING:
    from infra.backup.sets import Manifest
    from infra.postgres.database import Transaction
    from jobs.engine.run import AtomicRun, Run

SQL = statements(__file__)
AT_A_TIME = 2


@dataclass(frozen=True)
class WrittenSet:
    """What stands in the manifest of a backup that lies there. left_out: what could not be backed up, in words."""

    manifest: Manifest
    left_out: list[str]


def backup_key_id(run: Run[Any]) -> str:
    """Return the id of the key that backups are encrypted with now."""
    return backup_keys.backup_key(run.infra.settings.secrets_folder)[0]


def name_backup(run: AtomicRun[Any], tx: Transaction, key_id: str) -> None:
    """Give the backup its id and its files' name. Raises GiveUp when the project is in no state for one."""
    scope = scope_of(run.args)
    if scope != catalogue.PLATFORM and (status := states.of(tx, scope)) not in states.SETTLED:
        raise GiveUp(f"the project is {status or 'deleted'}")
    catalogue.begin(tx, scope, run.job_id, form=run.settings.backup_format, key_id=key_id)


def scope_of(args: Any) -> str:
    """Return what a job backs up: its project, or else the platform."""
    return str(getattr(args, "project_id", catalogue.PLATFORM))


def write_backup(run: Run[Any], *, fresh: bool = False) -> None:
    """Ensure that the files and the manifest are there. fresh: of what the project holds by now."""
    project = scope_of(run.args)
    if project == catalogue.PLATFORM:
        _write_platform(run)
        return
    with run.infra.database.autocommit() as tx:
        backup = catalogue.of_job(tx, run.job_id)
        row = tx.row(SQL.project, {"project": project}) or {}
    known, login = stored_secrets(run), names.roles(project).dump
    more = {
        "name": row["name"],
        "poolSize": row["pool_size"],
        "settings": row["settings"],
        "secrets": {name: known[name] for name in backups.KEPT_SECRETS if name in known},
    }
    uri = run.infra.databases.uri(names.database(project), login, known[names.password(login)])
    backups.write(run, backup, uri, project=project, more=more, fresh=fresh)


def _write_platform(run: Run[Any]) -> None:
    with run.infra.database.autocommit() as tx:
        backup = catalogue.of_job(tx, run.job_id)
    backups.write(run, backup, run.infra.database.conninfo, project="", more={})


def remove_set(run: Run[Any]) -> None:
    """Take back what was written."""
    backups.remove(run)


def written(run: Run[Any]) -> WrittenSet:
    """Return what stands in the manifest of this job's backup. Raises Refused, naming what is wrong with it."""
    settings = run.infra.settings
    with run.infra.database.autocommit() as tx:
        backup = catalogue.of_job(tx, run.job_id)
    keys = backup_keys.backup_keys(settings.secrets_folder)
    manifest = sets.read(settings.backups_folder, backup.stem, keys)
    details = sets.details(manifest, keys[manifest.key_id])
    return WrittenSet(manifest, details["contents"].get("left_out") or [])


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


def list_set(run: AtomicRun[Any], tx: Transaction, backup: catalogue.Backup, found: WrittenSet) -> None:
    """Take into the catalogue what the manifest says of a backup. Raises GiveUp when it is that of another one."""
    manifest = found.manifest
    if manifest.id != backup.id:
        raise GiveUp(f"the manifest is that of another backup ({manifest.id})")
    if found.left_out:
        run.result["remarks"] = found.left_out
    file = manifest.files[0]
    catalogue.finish(
        tx,
        backup,
        size=manifest.bytes,
        database_bytes=manifest.database_bytes,
        sha256=file.sha256,
        final_days=run.settings.final_backup_days,
    )
    run.result.update(backupId=backup.id, file=file.name, bytes=manifest.bytes, sha256=file.sha256)


def begin_again(args: BackupProject, tx: Transaction) -> None:
    """Let the backup be made once more. Raises JobConflict when the project is in no state for one."""
    status = states.of(tx, args.project_id)
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
    retried=begin_again,
)
@dataclass(frozen=True)
class BackupProject:
    """Backs up one project."""

    project_id: str
