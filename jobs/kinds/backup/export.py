"""project.export: a project in one encrypted file that another host takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import backups as catalogue
from catalog import job_secrets
from catalog import project_states as states
from catalog.secrets import SecretMissing
from infra import files
from jobs.backup import backups
from jobs.backup.exports import path_of
from jobs.engine.commands import JobConflict
from jobs.engine.errors import GiveUp
from jobs.engine.kind import BULK, AtomicStep, Step, kind
from jobs.kinds.backup.backup import BackupProject

if TYPE_CHECKING:
    from pathlib import Path

    from infra.postgres.database import Transaction
    from jobs.engine.run import AtomicRun, Run


def enqueue_backup(run: AtomicRun[ExportProject], tx: Transaction) -> None:
    """Enqueue a backup of the project as it is now. Raises GiveUp when it is in no state for that."""
    status = states.state_of(tx, run.args.project_id)
    if status not in states.SETTLED:
        raise GiveUp(f"the project is {status or 'deleted'}")
    run.spawn(tx, BackupProject(run.args.project_id))


def wait_for_backup(run: Run[ExportProject]) -> None:
    """Wait for it. Raises GiveUp when it could not be made."""
    failed = [child["error"] for child in run.children() if child["status"] != "succeeded"]
    if failed:
        raise GiveUp(f"the project could not be backed up: {(failed[0] or {}).get('detail')}")


def write_file(run: Run[ExportProject]) -> None:
    """Ensure the file: what the backup holds, under the passphrase of this export."""
    infra, path = run.infra, _path(run)
    if path.exists():
        return
    source = backups.opened(infra, _backup(run).stem, backups.monitor(run, "checked"))
    with infra.database.autocommit() as tx:
        try:
            passphrase = job_secrets.read(tx, infra.vault, run.args.passphrase)
        except SecretMissing:
            raise GiveUp("the passphrase is not kept any more; export anew") from None
    run.check()
    backups.store(infra).export(source, path, passphrase, backups.monitor(run, "written"))


def remove_export(run: Run[ExportProject]) -> None:
    """Take back what was written."""
    path = _path(run)
    for each in (path, path.with_name(f".{path.name}")):
        each.unlink(missing_ok=True)


def compute_checksum(run: Run[ExportProject]) -> None:
    """Report the file with its size and checksum; one that had to be written anew has others."""
    path = _path(run)
    run.check()
    run.result.update(file=path.name, bytes=path.stat().st_size, sha256=files.sha256_of(path))


def forget_passphrase(run: AtomicRun[ExportProject], tx: Transaction) -> None:
    """Forget the passphrase: whoever asked for the export has it. Raises GiveUp when no checksum was reported."""
    if not run.result.get("sha256"):
        raise GiveUp("the export has no checksum")
    job_secrets.delete(tx, run.args.passphrase)
    run.result.update(projectId=run.args.project_id)


def on_failed(args: ExportProject, tx: Transaction, _reason: str) -> None:
    """Keep no passphrase of an export that was given up."""
    job_secrets.delete(tx, args.passphrase)


def on_retry(_args: ExportProject, _tx: Transaction) -> None:
    """Refuse. Raises JobConflict: the passphrase is not kept."""
    raise JobConflict("its passphrase is not kept; export anew")


def _path(run: Run[ExportProject]) -> Path:
    return path_of(run.infra.settings.exports_folder, run.args.project_id, run.job_id)


def _backup(run: Run[ExportProject]) -> catalogue.Backup:
    with run.infra.database.autocommit() as tx:
        return catalogue.of_job(tx, run.children()[-1]["id"])


@kind(
    "project.export",
    steps=(
        AtomicStep(enqueue_backup, title="Enqueue a backup"),
        Step(wait_for_backup, joins="backup", title="Wait for the backup"),
        Step(write_file, lasting=True, undo=remove_export, long=True, title="Encrypt with the passphrase"),
        Step(compute_checksum, lasting=True, long=True),
        AtomicStep(forget_passphrase),
    ),
    queue=BULK,
    lane=None,
    on_failure="undo",
    max_running=1,
    failed=on_failed,
    retried=on_retry,
)
@dataclass(frozen=True)
class ExportProject:
    """Writes a project into one file. passphrase: by what it is found, sealed."""

    project_id: str
    passphrase: str
