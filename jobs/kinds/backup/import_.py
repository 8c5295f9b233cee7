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
from infra.backup.sets import File, Manifest
from infra.errors import Refused
from infra.postgres.sql import statements
from jobs.backup import backups, importing
from jobs.backup.backups import DATABASE
from jobs.engine.commands import JobConflict
from jobs.engine.errors import GiveUp
from jobs.engine.kind import BULK, AtomicStep, Step, kind
from jobs.kinds.backup.backup import backup_key_id, list_set, remove_set, written
from jobs.kinds.backup.restore import RestoreProject

if TYPE_CHECKING:
    from pathlib import Path

    from catalog.backups import Backup
    from infra.backup.transfer import Head
    from infra.postgres.database import Transaction
    from jobs.engine.run import AtomicRun, Run
    from jobs.kinds.backup.backup import WrittenSet

SQL = statements(__file__)


def name_imported_backup(run: AtomicRun[ImportProject], tx: Transaction, key_id: str) -> None:
    """Give the backup that the file becomes its id and its files' name."""
    catalogue.begin(tx, run.args.project_id, run.job_id, form=run.args.format, key_id=key_id)


def take_over_file(run: Run[ImportProject]) -> None:
    """Let the backup's files and manifest be there, of our own key. Raises Refused, naming what is wrong."""
    infra = run.infra
    with infra.database.autocommit() as tx:
        backup = catalogue.of_job(tx, run.job_id)
        try:
            passphrase = job_secrets.read(tx, infra.vault, run.args.passphrase)
        except SecretMissing:
            raise GiveUp("the passphrase is not kept any more; import anew") from None
    folder = files.folder(infra.settings.backups_folder)
    keys = backup_keys.backup_keys(infra.settings.secrets_folder)
    if sets.path_of(folder, backup.stem).exists():
        return
    sets.remove(folder, backup.stem)
    run.check()
    path = infra.settings.imports_folder / run.args.file
    name = sets.file_name(backup.stem, backup.format)
    partial, gpg, key = folder / f".{name}", backups.gpg(infra), keys[backup.key_id]
    archive.ensure_room(folder, path.stat().st_size if path.exists() else 0)
    with transfer.opened(path, gpg, passphrase) as (head, pieces):
        importing.check(infra, head)
        if head.format != backup.format:
            raise Refused("the file is another one than when the import was asked for")
        look = backups.told(run, path.stat().st_size, "taken over")
        stored = transfer.take_over(pieces, partial, head.plain_bytes, gpg, key, look)
    run.check()
    partial.replace(folder / name)
    details = {**head.details, "settings": settings.within(head.details["settings"], infra.settings)}
    manifest = _manifest(backup, head, File(name, DATABASE, stored.bytes, stored.sha256, stored.plain_bytes))
    sets.write(folder, replace(manifest, details=sets.seal(key, details)), key)


def _manifest(backup: Backup, head: Head, file: File) -> Manifest:
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


def enqueue_restore(run: AtomicRun[ImportProject], tx: Transaction, found: WrittenSet) -> None:
    """List the backup, and let the project be made of it."""
    backup = catalogue.of_job(tx, run.job_id)
    list_set(run, tx, backup, found)
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


def remove_imported_file(run: Run[ImportProject]) -> None:
    """Let the file be gone: what it held is a project and a backup of it."""
    _path(run).unlink(missing_ok=True)


def report_import(run: AtomicRun[ImportProject], tx: Transaction) -> None:
    """Report, and forget the passphrase."""
    job_secrets.forget(tx, run.args.passphrase)
    run.result.update(projectId=run.args.project_id)


def say_failed(args: ImportProject, tx: Transaction, reason: str) -> None:
    """Leave nothing in the way of another import, unless a backup is there that can be restored again.

    The passphrase is forgotten.
    """
    job_secrets.forget(tx, args.passphrase)
    tx.execute(SQL.forget_unmade, {"project": args.project_id})
    states.move(tx, args.project_id, "failed", by="project.import failed", reason=reason)


def begin_again(_args: ImportProject, _tx: Transaction) -> None:
    """Refuse. Raises JobConflict: the passphrase is not kept."""
    raise JobConflict("its passphrase is not kept; import anew")


def _path(run: Run[ImportProject]) -> Path:
    return run.infra.settings.imports_folder / run.args.file


@kind(
    "project.import",
    steps=(
        AtomicStep(
            name_imported_backup,
            reads=backup_key_id,
            undo=remove_set,
            formerly="name_backup",
            title="Name the imported backup",
        ),
        Step(take_over_file, long=True, title="Check the file, encrypt with our own key"),
        AtomicStep(enqueue_restore, reads=written, no_return=True, title="List the backup, enqueue its restore"),
        Step(wait_for_restore, joins="restore", title="Wait for the restore"),
        Step(remove_imported_file, formerly="remove_file"),
        AtomicStep(report_import, formerly="report"),
    ),
    queue=BULK,
    lane=None,
    on_failure="undo",
    max_running=1,
    failed=say_failed,
    retried=begin_again,
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
