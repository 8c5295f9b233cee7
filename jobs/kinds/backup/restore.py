"""project.restore: a backup becomes a project's database: filled as a staging database, proven, then swapped in.

The project serves what it has until the swap, and a restore that fails leaves it as it was. A project that does not
exist yet, or was deleted, is made on the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import backups as catalogue
from catalog import names, secrets, settings
from catalog import project_states as states
from catalog.backups import BackupNotFound
from infra.backup import keys, sets
from infra.postgres.project_staging import ProjectStaging
from infra.postgres.sql import statements
from jobs.backup import backups, restoring
from jobs.engine.commands import JobConflict
from jobs.engine.enqueue import enqueue
from jobs.engine.errors import GiveUp
from jobs.engine.kind import BULK, Step, kind
from jobs.kinds.project.migrate import MigrateProject
from jobs.projects import data_plane, pooling
from jobs.projects.project_secrets import makers

if TYPE_CHECKING:
    from catalog.backups import Backup
    from infra.backup.sets import Manifest
    from infra.postgres.database import Transaction
    from jobs.backup.backups import Opened
    from jobs.engine.run import Run

SQL = statements(__file__)


def check_backup(run: Run[RestoreProject]) -> None:
    """Look at every byte of the set before anything is touched. Raises Refused, naming what is wrong with it."""
    if _status(run) not in states.RESTORED:
        raise GiveUp(f"the project is {_status(run) or 'deleted'}")
    _opened(run)


def store_secrets(run: Run[RestoreProject], tx: Transaction) -> None:
    """Let a project that is new have secrets; one that comes back keeps those that its clients know."""
    project = run.args.project_id
    if states.of(tx, project) != "restoring":
        return
    source = _opened(run)
    known = secrets.read_all(tx, run.infra.vault, project)
    if source.manifest.scope == project:
        for name, value in source.details["secrets"].items():
            if name not in known:
                secrets.put(tx, run.infra.vault, project, name, value)
    secrets.store_once(tx, run.infra.vault, project, makers(project, int(tx.value(SQL.now))))
    settings.restore(tx, project, source.details["settings"])


def forget_secrets(run: Run[RestoreProject]) -> None:
    """Take back the secrets of a project that was not there."""
    if _is_new(run):
        with run.transaction() as tx:
            secrets.delete_all(tx, run.args.project_id)


def create_roles(run: Run[RestoreProject]) -> None:
    """Let a project that is new have its roles."""
    if _status(run) == "restoring":
        known = data_plane.stored_secrets(run)
        data_plane.set_passwords(run, data_plane.passwords(run.args.project_id, known))


def drop_database_and_roles(run: Run[RestoreProject]) -> None:
    """Take back the roles of a project that was not there, and the database that needs them."""
    if _is_new(run):
        data_plane.drop_database(run)
        data_plane.drop_roles(run)


def restore_copy(run: Run[RestoreProject]) -> None:
    """Let a staging database hold what the backup holds, and prove it."""
    project, database = run.args.project_id, names.staging(run.args.project_id, "restored")
    staging = _staging(run)
    if run.job_id in (staging.mark(database), staging.mark(names.database(project))):
        return
    run.ledger.intend("database", database)
    source = _opened(run)
    restored = restoring.restore_staging(
        run, source, database, project=project, mark=run.job_id, partial=run.args.partial
    )
    restored.report(run)
    run.ledger.present("database", database)


def drop_copy(run: Run[RestoreProject]) -> None:
    """Take back the staging database."""
    database = names.staging(run.args.project_id, "restored")
    run.ledger.releasing("database", database)
    restoring.drop_staging(run, database, project=run.args.project_id)
    run.ledger.gone("database", database)


def swap_database(run: Run[RestoreProject]) -> None:
    """Let the restored database bear the project's name; the one before it is kept under another."""
    project = run.args.project_id
    live, restored = names.database(project), names.staging(project, "restored")
    kept = names.staging(project, "before")
    run.ledger.intend("database", kept)
    run.check()
    staging = _staging(run)
    if staging.mark(live) != run.job_id:
        if staging.mark(restored) != run.job_id:
            raise GiveUp("the staging database is gone; retry the restore")
        with pooling.let_go(run):
            staging.swap(live, restored, kept)
    run.ledger.present("database", live)
    run.ledger.gone("database", restored)
    (run.ledger.present if staging.exists(kept) else run.ledger.gone)("database", kept)


def swap_database_back(run: Run[RestoreProject]) -> None:
    """Let a project that was there have its own database again, when this restore has taken its place."""
    project = run.args.project_id
    live, kept = names.database(project), names.staging(project, "before")
    staging, status = _staging(run), _status(run)
    if status in states.RESTORED and staging.mark(live) == run.job_id and staging.exists(kept):
        run.check()
        with pooling.let_go(run):
            staging.swap_back(live, kept, names.staging(project, "restored"))
        run.ledger.gone("database", kept)
        if status in states.SETTLED:
            allow_logins(run)
        else:  # it lets in whom it let in before
            pooling.go_on(run)


def allow_logins(run: Run[RestoreProject]) -> None:
    """Let the project's logins in, with its limits; those of a paused one stay out."""
    (data_plane.refuse_logins if _status(run) == "paused" else data_plane.allow_logins)(run)
    pooling.go_on(run)


def add_to_pooler(run: Run[RestoreProject]) -> None:
    """Let the pooler serve a project that is new."""
    if _status(run) == "restoring":
        pooling.add_to_pooler(run)


def remove_from_pooler(run: Run[RestoreProject]) -> None:
    """Take back that the pooler serves a project that was not there."""
    if _is_new(run):
        pooling.remove_from_pooler(run)


def open_data_api(run: Run[RestoreProject]) -> None:
    """Let the data API serve a project that is new."""
    if _status(run) == "restoring":
        data_plane.open_data_api(run)


def close_data_api(run: Run[RestoreProject]) -> None:
    """Take back that the data API serves a project that was not there."""
    if _is_new(run):
        data_plane.close_data_api(run)


def check_round_trip(run: Run[RestoreProject]) -> None:
    """Prove that the project can be used, unless it is paused."""
    if _status(run) != "paused":
        data_plane.check_round_trip(run)


def mark_restored(run: Run[RestoreProject], tx: Transaction) -> None:
    """Say so; retention takes away what was there before once nobody can want it any more."""
    project, hours = run.args.project_id, run.infra.settings.restore_undo_hours
    template = run.infra.databases.templates.name
    if not states.move(tx, project, "active", by="project.restore", template=template):
        states.touch(tx, project, template=template)
    if tx.value(SQL.is_kept, {"name": names.staging(project, "before")}):
        until = catalogue.keep_database(tx, project, run.args.backup_id, run.job_id, hours)
        run.result["undoUntil"] = until.isoformat()
    if _manifest(run).schema < run.infra.databases.templates.version:
        run.result["migrateJobId"] = enqueue(tx, MigrateProject(project)).id
    run.result.update(projectId=project, backupId=run.args.backup_id)


def say_failed(args: RestoreProject, tx: Transaction, reason: str) -> None:
    """A project that was to be made of the backup is not there: it keeps its name for a retry or a deletion."""
    states.move(tx, args.project_id, "failed", by="project.restore failed", reason=reason)


def begin_again(args: RestoreProject, tx: Transaction) -> None:
    """Let the restore go on. Raises JobConflict when the project is in another state by now."""
    if states.is_in(tx, args.project_id, states.SETTLED):
        return
    if not states.move(tx, args.project_id, "restoring", by="project.restore retried"):
        raise JobConflict("the project is no longer waiting to be restored")


def _is_new(run: Run[RestoreProject]) -> bool:
    """Say whether the project had no database before this restore, so that all there is of it was made by this one.

    The status does not tell: one that failed may have its data still. While the restore is taken back it stays true,
    and stays false: what was there before bears the project's name then, or is kept.
    """
    if _status(run) != "restoring":
        return False
    live, kept = names.database(run.args.project_id), names.staging(run.args.project_id, "before")
    staging = _staging(run)
    return not staging.exists(kept) and (not staging.exists(live) or staging.mark(live) == run.job_id)


def _staging(run: Run[RestoreProject]) -> ProjectStaging:
    return ProjectStaging(run.infra.databases, names.roles(run.args.project_id), run.session)


def _status(run: Run[RestoreProject]) -> str:
    with run.infra.database.autocommit() as tx:
        return states.of(tx, run.args.project_id) or ""


def _backup(run: Run[RestoreProject]) -> Backup:
    with run.infra.database.autocommit() as tx:
        try:
            return catalogue.find(tx, run.args.backup_id)
        except BackupNotFound as error:
            raise GiveUp(str(error)) from error


def _manifest(run: Run[RestoreProject]) -> Manifest:
    settings = run.infra.settings
    return sets.read(settings.backups_folder, _backup(run).stem, keys.backup_keys(settings.secrets_folder))


def _opened(run: Run[RestoreProject]) -> Opened:
    return backups.opened(run.infra, _backup(run).stem)


@kind(
    "project.restore",
    steps=(
        Step(check_backup, title="Check the whole backup"),
        Step(store_secrets, atomic=True, undo=forget_secrets, title="Make secrets and keys"),
        Step(create_roles, lasting=True, undo=drop_database_and_roles),
        Step(restore_copy, lasting=True, undo=drop_copy, long=True, title="Restore into a staging database, compare"),
        Step(swap_database, undo=swap_database_back, no_return=True, title="Swap the database in"),
        Step(allow_logins, lasting=True),
        Step(add_to_pooler, lasting=True, undo=remove_from_pooler, title="Add to PgBouncer"),
        Step(open_data_api, lasting=True, undo=close_data_api, title="Open the data API"),
        Step(check_round_trip, title="Check a round trip"),
        Step(mark_restored, atomic=True),
    ),
    queue=BULK,
    on_failure="undo",
    max_running=2,
    conflicts=("project.backup", "project.verify_backup", "project.vacuum"),
    failed=say_failed,
    retried=begin_again,
)
@dataclass(frozen=True)
class RestoreProject:
    """Makes a backup a project's database. partial: also when something of it cannot come back."""

    project_id: str
    backup_id: str
    partial: bool = False
