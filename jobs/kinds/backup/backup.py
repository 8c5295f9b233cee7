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
from jobs.engine.kind import BULK, Step, kind
from jobs.kinds.backup.verify_backup import VerifyBackup
from jobs.projects.data_plane import stored_secrets

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.engine.run import Run

SQL = statements(__file__)
AT_A_TIME = 2


def name_backup(run: Run[BackupProject], tx: Transaction) -> None:
    """Give the backup its id and its files' name. Raises GiveUp when the project is in no state for one."""
    project = run.args.project_id
    row = tx.row(SQL.project, {"project": project})
    if row is None or row["status"] not in states.SETTLED:
        raise GiveUp(f"the project is {row['status'] if row else 'deleted'}")
    begin(run, tx, project)


def begin(run: Run[Any], tx: Transaction, scope: str, *, final: bool = False) -> catalogue.Backup:
    """Write down the backup that this job makes, once."""
    key_id, _ = backup_keys.backup_key(run.infra.settings.secrets_folder)
    form = run.infra.settings.backup_format
    return catalogue.begin(tx, scope, run.job_id, form=form, key_id=key_id, final=final)


def write_backup(run: Run[Any], *, fresh: bool = False) -> None:
    """Ensure that the files and the manifest exist. fresh: of what the project holds by now."""
    project = run.args.project_id
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


def remove_set(run: Run[Any]) -> None:
    """Take back what was written."""
    backups.remove(run)


def list_backup(run: Run[Any], tx: Transaction) -> None:
    """List the backup from now on, and let it be proven where that is wished."""
    backup, settings = catalogue.of_job(tx, run.job_id), run.infra.settings
    list_set(run, tx, backup)
    run.result.update(projectId=run.args.project_id)
    if settings.backup_verify == "always" and not backup.final:
        job = enqueue(tx, VerifyBackup(run.args.project_id, backup.id))
        run.result["verifyJobId"] = job.id


def list_set(run: Run[Any], tx: Transaction, backup: catalogue.Backup) -> None:
    """Take into the catalogue what the manifest says of a backup."""
    settings = run.infra.settings
    keys = backup_keys.backup_keys(settings.secrets_folder)
    manifest = sets.read_manifest(settings.backups_folder, backup.stem, keys)
    told = sets.read_details(manifest, keys[manifest.key_id])["contents"].get("left_out")
    if told:
        run.result["remarks"] = told
    file = manifest.files[0]
    catalogue.finish(
        tx,
        backup,
        size=manifest.bytes,
        database_bytes=manifest.database_bytes,
        sha256=file.sha256,
        final_days=settings.final_backup_days,
    )
    run.result.update(backupId=backup.id, file=file.name, bytes=manifest.bytes, sha256=file.sha256)


def on_retry(args: BackupProject, tx: Transaction) -> None:
    """Allow the backup to be made once more. Raises JobConflict when the project is in no state for one."""
    row = tx.row(SQL.project, {"project": args.project_id})
    if row is None or row["status"] not in states.SETTLED:
        raise JobConflict(f"the project is {row['status'] if row else 'deleted'}")


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
