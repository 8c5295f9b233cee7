"""Steps that every kind takes which makes a backup: name it, write its set, list it, take it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog import backups as catalogue
from catalog import names
from infra.backup.set_plan import DumpSource
from infra.postgres.sql import statements
from jobs.backup import backups
from jobs.projects.data_plane import stored_secrets

if TYPE_CHECKING:
    from catalog.backups import Backup
    from infra.postgres.database import Transaction
    from jobs.engine.run import Run

SQL = statements(__file__)


def begin(run: Run[Any], tx: Transaction, scope: str, *, final: bool = False) -> Backup:
    """Write down the backup that this job makes, once."""
    key_id, form = backups.store(run.infra).key_id(), run.infra.settings.backup_format
    return catalogue.begin(tx, scope, run.job_id, form=form, key_id=key_id, final=final)


def write_backup(run: Run[Any], *, fresh: bool = False) -> None:
    """Ensure that the set of a project's backup is there. fresh: of what the project holds by now."""
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
    backups.write(run, backup, DumpSource(uri, run.session, project), more=more, fresh=fresh)


def remove_set(run: Run[Any]) -> None:
    """Take back what was written."""
    backups.remove(run)


def list_set(run: Run[Any], tx: Transaction, backup: Backup) -> None:
    """Take into the catalogue what the manifest says of a backup."""
    store = backups.store(run.infra)
    manifest = store.read(backup.stem)
    if left_out := store.details(manifest)["contents"].get("left_out"):
        run.result["remarks"] = left_out
    file = manifest.files[0]
    catalogue.finish(
        tx,
        backup,
        size=manifest.bytes,
        database_bytes=manifest.database_bytes,
        sha256=file.sha256,
        final_days=run.infra.settings.final_backup_days,
    )
    run.result.update(backupId=backup.id, file=file.name, bytes=manifest.bytes, sha256=file.sha256)
