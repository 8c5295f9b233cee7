"""project.import: an export of another host becomes a backup here, and that a project."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from catalog import backups as catalogue
from catalog import job_secrets, settings
from catalog import project_states as states
from catalog.secrets import SecretMissing
from infra import files
from infra.backup import archive, sets, transfer
from infra.backup import keys as backup_keys
from infra.backup.sets import Manifest, SetFile
from infra.errors import Refused
from infra.postgres.sql import statements
from jobs.backup import backups, importing
from jobs.backup.backups import DATABASE
from jobs.engine.commands import JobConflict
from jobs.engine.errors import GiveUp
from jobs.engine.kind import BULK, Step, kind
from jobs.kinds.backup.backup import list_set, remove_set
from jobs.kinds.backup.restore import RestoreProject

if TYPE_CHECKING:
    from pathlib import Path

    from catalog.backups import Backup
    from infra.backup.transfer import ExportHeader
    from infra.postgres.database import Transaction
    from jobs.engine.run import Run

SQL = statements(__file__)


def name_backup(run: Run[ImportProject], tx: Transaction) -> None:
    """Give the backup that the file becomes its id and its files' name."""
    key_id, _ = backup_keys.backup_key(run.infra.settings.secrets_folder)
    catalogue.begin(tx, run.args.project_id, run.job_id, form=run.args.format, key_id=key_id)


def take_over_file(run: Run[ImportProject]) -> None:
    """Ensure that the backup's files and manifest exist, of our own key. Raises Refused, naming what is wrong."""
    infra = run.infra
    with infra.database.autocommit() as tx:
        backup = catalogue.of_job(tx, run.job_id)
        try:
            passphrase = job_secrets.read(tx, infra.vault, run.args.passphrase)
        except SecretMissing:
            raise GiveUp("the passphrase is not kept any more; import anew") from None
    folder = files.ensure_folder(infra.settings.backups_folder)
    keys = backup_keys.backup_keys(infra.settings.secrets_folder)
    if sets.manifest_path(folder, backup.stem).exists():
        return
    sets.remove_set(folder, backup.stem)
    run.check()
    path = infra.settings.imports_folder / run.args.file
    name = sets.file_name(backup.stem, backup.format)
    partial, gpg, key = folder / f".{name}", backups.gpg(infra), keys[backup.key_id]
    archive.ensure_room(folder, path.stat().st_size if path.exists() else 0)
    with transfer.open_export(path, gpg, passphrase) as (head, pieces):
        importing.check_importable(infra, head)
        if head.format != backup.format:
            raise Refused("the file is another one than when the import was asked for")
        look = backups.told(run, path.stat().st_size, "taken over")
        stored = transfer.reencrypt(pieces, partial, head.plain_bytes, gpg, key, look)
    run.check()
    partial.replace(folder / name)
    details = {**head.details, "settings": settings.fitting(head.details["settings"], infra.settings)}
    manifest = _manifest(backup, head, SetFile(name, DATABASE, stored.bytes, stored.sha256, stored.plain_bytes))
    sets.write_manifest(folder, replace(manifest, details=sets.seal_details(key, details)), key)


def _manifest(backup: Backup, head: ExportHeader, file: SetFile) -> Manifest:
    return Manifest(
        id=backup.id,
        scope=head.scope,
        stem=backup.stem,
        created_at=head.created_at,
        format=head.format,
        postgres=head.postgres,
        schema=head.schema,
        key_id=backup.key_id,
        database_bytes=head.database_bytes,
        files=(file,),
        details="",
    )


def enqueue_restore(run: Run[ImportProject], tx: Transaction) -> None:
    """List the backup, and let the project be made of it."""
    backup = catalogue.of_job(tx, run.job_id)
    list_set(run, tx, backup)
    run.spawn(tx, RestoreProject(run.args.project_id, backup.id, run.args.partial))


def wait_for_restore(run: Run[ImportProject]) -> None:
    """Wait for it. Raises GiveUp when it could not be made; the backup stays, and can be restored again."""
    children = run.children()
    failed = [child["error"] for child in children if child["status"] != "succeeded"]
    if failed:
        raise GiveUp(f"the project could not be restored: {(failed[0] or {}).get('detail')}")
    for told in ("lacking", "remarks"):
        if found := [line for child in children for line in (child["result"] or {}).get(told, ())]:
            run.result[told] = found


def remove_file(run: Run[ImportProject]) -> None:
    """Remove the file: what it held is a project and a backup of it."""
    _path(run).unlink(missing_ok=True)


def report(run: Run[ImportProject], tx: Transaction) -> None:
    """Report, and forget the passphrase."""
    job_secrets.delete(tx, run.args.passphrase)
    run.result.update(projectId=run.args.project_id)


def on_failed(args: ImportProject, tx: Transaction, reason: str) -> None:
    """Leave nothing in the way of another import, unless a backup is there that can be restored again.

    The passphrase is forgotten.
    """
    job_secrets.delete(tx, args.passphrase)
    tx.execute(SQL.forget_unmade, {"project": args.project_id})
    states.move(tx, args.project_id, "failed", by="project.import failed", reason=reason)


def on_retry(_args: ImportProject, _tx: Transaction) -> None:
    """Refuse. Raises JobConflict: the passphrase is not kept."""
    raise JobConflict("its passphrase is not kept; import anew")


def _path(run: Run[ImportProject]) -> Path:
    return run.infra.settings.imports_folder / run.args.file


@kind(
    "project.import",
    steps=(
        Step(name_backup, atomic=True, undo=remove_set, title="Name the backup"),
        Step(take_over_file, long=True, title="Check the file, encrypt it with our own key"),
        Step(enqueue_restore, atomic=True, no_return=True, title="List the backup, enqueue its restore"),
        Step(wait_for_restore, joins=True, title="Wait for the restore"),
        Step(remove_file, title="Remove the file"),
        Step(report, atomic=True),
    ),
    queue=BULK,
    lane=None,
    on_failure="undo",
    max_running=1,
    failed=on_failed,
    retried=on_retry,
)
@dataclass(frozen=True)
class ImportProject:
    """Makes a project of an export that lies in the imports folder.

    passphrase  by what it is found, sealed
    partial     also when something of it cannot come back
    """

    project_id: str
    file: str
    format: str
    passphrase: str
    partial: bool = False
