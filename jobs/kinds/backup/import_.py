"""project.import: an export of another host becomes a backup here, and that a project."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from catalog import backups as catalogue
from catalog import job_secrets, settings
from catalog import project_states as states
from catalog.secrets import SecretMissing
from infra.errors import Refused
from infra.postgres.sql import statements
from jobs.backup import backups, importing
from jobs.backup.writing import backup_key_id, list_set, remove_set, written
from jobs.engine.commands import JobConflict
from jobs.engine.errors import GiveUp
from jobs.engine.kind import BULK, AtomicStep, Step, kind
from jobs.kinds.backup.restore import RestoreProject

if TYPE_CHECKING:
    from pathlib import Path

    from infra.postgres.database import Transaction
    from jobs.backup.writing import WrittenSet
    from jobs.engine.run import AtomicRun, Run

SQL = statements(__file__)


def name_imported_backup(run: AtomicRun[ImportProject], tx: Transaction, key_id: str) -> None:
    """Give the backup that the file becomes its id and its files' name."""
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
    store = backups.store(infra)
    if store.has(backup.stem):
        return
    run.check()
    head = importing.inspect_export(infra, run.args.file, passphrase)
    if head.format != backup.format:
        raise Refused("the file is another one than when the import was asked for")
    details = {**head.details, "settings": settings.fitting(head.details["settings"], infra.settings)}
    planned = replace(backups.plan(run, backup, details), scope=head.scope, created_at=head.created_at)
    store.take_over(_path(run), passphrase, head, planned, backups.monitor(run, "taken over"))


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
    """Remove the file: what it held is a project and a backup of it."""
    _path(run).unlink(missing_ok=True)


def report_import(run: AtomicRun[ImportProject], tx: Transaction) -> None:
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
        AtomicStep(
            name_imported_backup,
            reads=backup_key_id,
            undo=remove_set,
            title="Name the imported backup",
        ),
        Step(take_over_file, long=True, title="Check the file, encrypt with our own key"),
        AtomicStep(enqueue_restore, reads=written, no_return=True, title="List the backup, enqueue its restore"),
        Step(wait_for_restore, joins="restore", title="Wait for the restore"),
        Step(remove_imported_file),
        AtomicStep(report_import),
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
