"""project.export: a project in one encrypted file that another host takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import backups as catalogue
from catalog import job_secrets
from catalog import project_states as states
from catalog.secrets import SecretMissing
from infra import files
from infra.backup import archive, transfer
from jobs.backup import backups
from jobs.engine.commands import JobConflict
from jobs.engine.errors import GiveUp
from jobs.engine.kind import BULK, AtomicStep, Step, kind
from jobs.kinds.backup.backup import BackupProject

if TYPE_CHECKING:
    from pathlib import Path

    from infra.postgres.database import Transaction
    from jobs.engine.run import AtomicRun, Run


def enqueue_backup(run: AtomicRun[ExportProject], tx: Transaction) -> None:
    """Let the project be backed up as it is now. Raises GiveUp when it is in no state for that."""
    status = states.of(tx, run.args.project_id)
    if status not in states.SETTLED:
        raise GiveUp(f"the project is {status or 'deleted'}")
    run.spawn(tx, BackupProject(run.args.project_id))


def wait_for_backup(run: Run[ExportProject]) -> None:
    """Wait for it. Raises GiveUp when it could not be made."""
    failed = [child["error"] for child in run.children() if child["status"] != "succeeded"]
    if failed:
        raise GiveUp(f"the project could not be backed up: {(failed[0] or {}).get('detail')}")


def write_file(run: Run[ExportProject]) -> None:
    """Let the file be there: what the backup holds, under the passphrase of this export."""
    infra, path = run.infra, _path(run)
    if path.exists():
        return
    source = backups.opened(infra, _backup(run).stem)
    manifest, file = source.manifest, source.manifest.files[0]
    head = transfer.Head(
        scope=manifest.scope,
        created_at=manifest.created_at,
        format=manifest.format,
        postgres=manifest.postgres,
        schema=manifest.schema,
        database_bytes=manifest.database_bytes,
        plain_bytes=file.plain_bytes,
        details=source.details,
    )
    with infra.database.autocommit() as tx:
        try:
            passphrase = job_secrets.read(tx, infra.vault, run.args.passphrase)
        except SecretMissing:
            raise GiveUp("the passphrase is not kept any more; export anew") from None
    run.check()
    gpg, partial = backups.gpg(infra), path.with_name(f".{path.name}")
    partial.unlink(missing_ok=True)
    archive.ensure_room(files.folder(path.parent), file.bytes)
    with archive.packed(infra.settings.backups_folder / file.name, gpg, source.key) as packed:
        transfer.write(partial, head, packed, gpg, passphrase, backups.told(run, file.bytes, "written"))
    run.check()
    partial.replace(path)


def remove_export(run: Run[ExportProject]) -> None:
    """Take back what was written."""
    path = _path(run)
    for each in (path, path.with_name(f".{path.name}")):
        each.unlink(missing_ok=True)


def compute_checksum(run: Run[ExportProject]) -> None:
    """Report the file with its size and checksum; one that had to be written anew has others."""
    path = _path(run)
    run.check()
    run.result.update(file=path.name, bytes=path.stat().st_size, sha256=archive.sha256_of(path))


def forget_passphrase(run: AtomicRun[ExportProject], tx: Transaction) -> None:
    """Forget the passphrase: whoever asked for the export has it. Raises GiveUp when no checksum was reported."""
    if not run.result.get("sha256"):
        raise GiveUp("the export has no checksum")
    job_secrets.forget(tx, run.args.passphrase)
    run.result.update(projectId=run.args.project_id)


def forget(args: ExportProject, tx: Transaction, _reason: str) -> None:
    """Keep no passphrase of an export that was given up."""
    job_secrets.forget(tx, args.passphrase)


def begin_again(_args: ExportProject, _tx: Transaction) -> None:
    """Refuse. Raises JobConflict: the passphrase is not kept."""
    raise JobConflict("its passphrase is not kept; export anew")


def path_of(folder: Path, project_id: str, job_id: str) -> Path:
    """Return where the file of an export lies."""
    return folder / f"{project_id}_{job_id}{transfer.SUFFIX}"


def files_of(folder: Path, project_id: str) -> list[Path]:
    """Return every export of a project that lies there, unfinished ones too."""
    return [path for path in folder.glob("*") if path.name.removeprefix(".").startswith(f"{project_id}_")]


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
        AtomicStep(forget_passphrase, formerly="report"),
    ),
    queue=BULK,
    lane=None,
    on_failure="undo",
    max_running=1,
    failed=forget,
    retried=begin_again,
)
@dataclass(frozen=True)
class ExportProject:
    """Writes a project into one file. passphrase: by what it is found, sealed."""

    project_id: str
    passphrase: str
