"""project.delete: nothing of a project is left but its history. Twice is harmless; half is finished by a retry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import backups as catalogue
from catalog import names, owner_migrations, secrets
from catalog import project_states as states
from infra.postgres.project_staging import ProjectStaging
from infra.postgres.sql import statements
from jobs.backup import backups
from jobs.backup.exports import files_of
from jobs.backup.writing import backup_key_id, list_set, remove_set, write_backup, written
from jobs.engine.commands import JobConflict
from jobs.engine.kind import BY_SIZE_SECONDS, AtomicStep, Step, kind
from jobs.projects.conditions import only_if
from jobs.projects.files import remove_files
from jobs.projects.steps import (
    add_to_pooler,
    allow_logins,
    close_auth,
    close_data_api,
    close_storage,
    drop_database,
    drop_roles,
    open_data_api,
    refuse_logins,
    remove_from_pooler,
    update_auth,
    update_storage,
)

if TYPE_CHECKING:
    from catalog.project_states import State
    from infra.postgres.database import Transaction
    from jobs.backup.writing import WrittenSet
    from jobs.engine.run import AtomicRun, Run

SQL = statements(__file__)


def name_last_backup(run: AtomicRun[DeleteProject], tx: Transaction, key_id: str) -> None:
    """Give the last backup its id, once, unless nothing is to be kept or there was never anything to keep."""
    _begin_last_backup(run.args, tx, run.job_id, form=run.settings.backup_format, key_id=key_id)


def _begin_last_backup(args: DeleteProject, tx: Transaction, job_id: str, *, form: str, key_id: str) -> None:
    if not args.purge and tx.value(SQL.was_active, {"project": args.project_id}):
        catalogue.begin(tx, args.project_id, job_id, form=form, key_id=key_id, final=True)


def write_last_backup(run: Run[DeleteProject]) -> None:
    """Write a last backup before anything is closed: where none can be made, nothing is deleted."""
    if not is_begun(run) or backups.is_whole(run):
        return
    if not _has_database(run):
        run.log("there is no database to back up")
        backups.remove(run)
        return
    write_backup(run, last=True)


def complete_last_backup(run: Run[DeleteProject]) -> None:
    """Ensure that the last backup holds what was written until nobody could any more."""
    if not _has_database(run):
        return
    key_id, form = backup_key_id(run), run.infra.settings.backup_format
    with run.transaction() as tx:
        # An attempt that was taken back half has given up the one that it had listed.
        _begin_last_backup(run.args, tx, run.job_id, form=form, key_id=key_id)
    if is_begun(run):
        write_backup(run, fresh=True, last=True)


def was_reachable(run: Run[DeleteProject]) -> bool:
    """Return whether the project's clients are to reach it again: its logins were let in, and its data is there."""
    return _before(run) in states.REACHABLE and _has_database(run)


def serve_on(run: Run[DeleteProject]) -> None:
    """Make the project what it was, and its data API serve again, if it did. Without its data it is neither."""
    if not _has_database(run):
        with run.transaction() as tx:
            states.forget_before_deletion(tx, run.args.project_id)
        return
    before = _before(run)
    if before is None:
        return
    with run.transaction() as tx:
        reason = "its deletion did not finish"
        states.move(tx, run.args.project_id, before, by="project.delete undone", reason=reason)
    if before == "active":
        open_data_api(run)


def _before(run: Run[DeleteProject]) -> State | None:
    """Return what the project is to be again; None when it never served, or another deletion takes this one's place."""
    with run.infra.database.autocommit() as tx:
        if tx.value(SQL.is_superseded, {"job": run.job_id}):
            return None
        return states.before_deletion(tx, run.args.project_id)


def _has_database(run: Run[DeleteProject]) -> bool:
    project = run.args.project_id
    return ProjectStaging(run.infra.databases, names.roles(project), run.session).exists(names.database(project))


def last_written(run: Run[DeleteProject]) -> WrittenSet | None:
    """Return what stands in the last backup's manifest; None where this deletion keeps none."""
    return written(run) if is_begun(run) else None


def list_last_backup(run: AtomicRun[DeleteProject], tx: Transaction, found: WrittenSet | None) -> None:
    """List the last backup: for some days the project can be brought back."""
    if found is not None:
        list_set(run, tx, catalogue.of_job(tx, run.job_id), found)


def keep_last_backup(run: Run[DeleteProject]) -> None:
    """Keep what was listed as any other backup: the data may be gone; a retry makes a last backup of its own."""
    with run.transaction() as tx:
        catalogue.demote_last_backup(tx, run.job_id)


def is_begun(run: Run[DeleteProject]) -> bool:
    """Return whether this deletion keeps a last backup."""
    with run.infra.database.autocommit() as tx:
        try:
            catalogue.of_job(tx, run.job_id)
        except catalogue.BackupNotFound:
            return False
    return True


def remove_transfers(run: Run[DeleteProject]) -> None:
    """Remove exports, which nobody can fetch any more, and with a purge a file that the project came from."""
    settings, project = run.infra.settings, run.args.project_id
    gone = files_of(settings.exports_folder, project)
    if run.args.purge:
        with run.infra.database.autocommit() as tx:
            gone += [settings.imports_folder / row["file"] for row in tx.rows(SQL.imported, {"project": project})]
    for path in gone:
        run.check()
        path.unlink(missing_ok=True)


def purge_backups(run: Run[DeleteProject]) -> None:
    """Remove what could bring the project back, when that was asked for."""
    if not run.args.purge:
        return
    with run.infra.database.autocommit() as tx:
        found = catalogue.all_of_scope(tx, run.args.project_id)
    for backup in found:
        run.check()
        backups.store(run.infra).remove(backup.stem)
    backups.sweep(run, run.args.project_id)
    with run.transaction() as tx:
        for backup in found:
            catalogue.delete(tx, backup.id)


def purge_files(run: Run[DeleteProject]) -> None:
    """Remove the bytes of its files: the last backup holds them. While one of before holds none, retention does so."""
    if run.args.purge or all(backups.holds_files(run.infra, stem) for stem in _stems(run)):
        remove_files(run, run.args.project_id)


def _stems(run: Run[DeleteProject]) -> list[str]:
    with run.infra.database.autocommit() as tx:
        return [backup.stem for backup in catalogue.all_of_scope(tx, run.args.project_id) if backup.finished_at]


def forget_project(run: AtomicRun[DeleteProject], tx: Transaction) -> None:
    """Forget secrets and settings; say in the catalogue that the project is deleted."""
    project = {"project": run.args.project_id}
    secrets.delete_all(tx, run.args.project_id)
    tx.execute(SQL.forget_passphrases, {**project, "platform": secrets.PLATFORM})
    tx.execute(SQL.forget_settings, project)
    owner_migrations.delete_all(tx, run.args.project_id)
    tx.execute(SQL.forget_databases, project)
    states.move(tx, run.args.project_id, "deleted", by="project.delete")
    tx.execute(SQL.forget_ledger, project)
    run.result["projectId"] = run.args.project_id


def on_failed(args: DeleteProject, tx: Transaction, reason: str) -> None:
    """Settle the project's state: it says that its deletion did not finish, or serves on."""
    before = tx.value(SQL.unclosed, {"project": args.project_id})
    reason = f"the deletion did not finish: {reason}"
    states.move(tx, args.project_id, before or "failed", by="project.delete failed", reason=reason)


def on_retry(args: DeleteProject, tx: Transaction) -> None:
    """Allow the deletion to go on. Raises JobConflict when the project is deleted already."""
    if not states.move(tx, args.project_id, "deleting", by="project.delete asked"):
        raise JobConflict("the project is deleted already")


@kind(
    "project.delete",
    steps=(
        AtomicStep(name_last_backup, reads=backup_key_id, undo=remove_set, title="Name the last backup"),
        Step(write_last_backup, lasting=True, long=True, title="Write the last backup"),
        # Taken back after what follows it, once the project is again what it was.
        Step(close_auth, undo=update_auth, title="Close Auth"),
        Step(close_storage, undo=update_storage, title="Close Storage"),
        Step(close_data_api, undo=serve_on, title="Close the data API"),
        Step(remove_from_pooler, undo=only_if(was_reachable, add_to_pooler), title="Remove from PgBouncer"),
        Step(only_if(_has_database, refuse_logins), undo=only_if(was_reachable, allow_logins)),
        # It refused the logins itself, once.
        Step(complete_last_backup, undo=only_if(was_reachable, allow_logins), long=True),
        AtomicStep(
            list_last_backup,
            reads=last_written,
            no_return=True,
            undo=keep_last_backup,
            title="List the last backup",
        ),
        Step(drop_database, seconds=BY_SIZE_SECONDS, title="Drop the database"),
        Step(drop_roles),
        Step(remove_transfers, title="Remove exports"),
        Step(purge_backups, seconds=BY_SIZE_SECONDS, title="Remove backups, if asked to"),
        Step(purge_files, seconds=BY_SIZE_SECONDS, title="Remove files"),
        AtomicStep(forget_project, title="Forget secrets and settings"),
    ),
    attempts=10,
    on_failure="undo",
    supersedes=True,
    preempts=True,
    priority=1,
    failed=on_failed,
    retried=on_retry,
)
@dataclass(frozen=True)
class DeleteProject:
    """Removes everything of a project from this installation. purge: also what could bring it back."""

    project_id: str
    purge: bool = False
