"""project.restore: a backup becomes a project's database: filled as a staging database, proven, then swapped in.

The project serves what it has until the swap, and a restore that fails leaves it as it was. A project that does not
exist yet, or was deleted, is made on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from catalog import backups as catalogue
from catalog import names, secrets, settings
from catalog import project_states as states
from catalog.backups import BackupNotFound
from infra.disk import require_disk_space
from infra.postgres.project_staging import ProjectStaging
from infra.postgres.sql import statements
from jobs.backup import backups, restoring, stored_files
from jobs.backup.restoring import RestoredVersion
from jobs.engine.commands import JobConflict
from jobs.engine.enqueue import enqueue
from jobs.engine.errors import GiveUp
from jobs.engine.kind import BULK, BY_SIZE_SECONDS, AtomicStep, Step, kind
from jobs.kinds.project.migrate import MigrateProject
from jobs.projects import conditions, pooling, steps
from jobs.projects.conditions import only_if, status, vault
from jobs.projects.files import remove_files

if TYPE_CHECKING:
    from catalog.backups import Backup
    from infra.backup.sets import Manifest
    from infra.backup.verified_set import VerifiedSet
    from infra.postgres.database import Transaction
    from infra.secrets.vault import Vault
    from jobs.engine.run import AtomicRun, Run

SQL = statements(__file__)


def check_backup(run: Run[RestoreProject]) -> None:
    """Look at every byte of the set before anything is touched. Raises Refused, naming what is wrong with it."""
    if (found := status(run)) not in states.RESTORED:
        raise GiveUp(f"the project is {found or 'deleted'}")
    require_disk_space(run.infra.settings)
    _opened(run, files=not run.args.partial)


@dataclass(frozen=True)
class KeptBesideData:
    """What a backup keeps beside the data. secrets: of this very project alone, those that its clients know."""

    secrets: dict[str, str] = field(repr=False)
    settings: dict[str, Any]
    vault: Vault


def kept_beside_data(run: Run[RestoreProject]) -> KeptBesideData:
    """Return what the backup, which was checked before, keeps beside the data. Raises Refused."""
    manifest = _manifest(run)
    details = backups.store(run.infra).details(manifest)
    own = manifest.scope == run.args.project_id
    return KeptBesideData(details["secrets"] if own else {}, details["settings"], conditions.vault(run))


def restore_secrets(run: AtomicRun[RestoreProject], tx: Transaction, kept: KeptBesideData) -> None:
    """Give a project that comes back the secrets that its clients know, and one that is new the backup's settings."""
    project = run.args.project_id
    if states.state_of(tx, project) != "restoring":
        return
    known = secrets.read_all(tx, kept.vault, project)
    comes_back = names.JWT_SECRET not in known
    for name, value in kept.secrets.items():
        if name not in known and (comes_back or not backups.is_of_clients(name)):
            secrets.put(tx, kept.vault, project, name, value)
    settings.restore(tx, project, kept.settings)


def drop_database_and_roles(run: Run[RestoreProject]) -> None:
    """Drop the roles of a project that was not there, and the database that needs them."""
    if is_new(run):
        steps.drop_database(run)
        steps.drop_roles(run)


def restore_copy(run: Run[RestoreProject]) -> None:
    """Ensure that a staging database holds what the backup holds, and prove it."""
    project, database = run.args.project_id, names.staging(run.args.project_id, "restored")
    staging = _staging(run)
    if run.job_id in (staging.mark(database), staging.mark(names.database(project))):
        return
    run.ledger.mark_intended("database", database)
    source = _opened(run, files=False)
    made = restoring.restore_staging(run, source, database, project=project, mark=run.job_id, partial=run.args.partial)
    made.report(run)
    run.ledger.mark_present("database", database)


def drop_copy(run: Run[RestoreProject]) -> None:
    """Take back the staging database."""
    database = names.staging(run.args.project_id, "restored")
    run.ledger.mark_releasing("database", database)
    restoring.drop_staging(run, database, project=run.args.project_id)
    run.ledger.mark_gone("database", database)


def put_files_in_place(run: Run[RestoreProject]) -> None:
    """Ensure that the bytes of every file are there that the restored database names, before it is the project's.

    Those of the database before it stay for as long as it may come back. Raises Refused, naming what is damaged.
    """
    live, restored = names.database(run.args.project_id), names.staging(run.args.project_id, "restored")
    if _staging(run).mark(live) != run.job_id:
        stored_files.hold_for_restore(run, *((live, restored) if _staging(run).exists(live) else ()))
        stored_files.bring_back(run, _manifest(run), partial=run.args.partial)


def take_files_back(run: Run[RestoreProject]) -> None:
    """Release Storage's bytes for removal, and remove all files of a project that this restore was to make."""
    live = names.database(run.args.project_id)
    if _staging(run).exists(live):
        stored_files.restore_hold(run, live).release()
    # Of one that comes back the files may be all that there is: it was deleted before backups held them.
    if is_new(run) and _manifest(run).scope != run.args.project_id:
        remove_files(run, run.args.project_id)


def swap_database(run: Run[RestoreProject]) -> None:
    """Ensure that the restored database bears the project's name; the one before it is kept under another."""
    project = run.args.project_id
    live, restored = names.database(project), names.staging(project, "restored")
    kept = names.staging(project, "before")
    run.ledger.mark_intended("database", kept)
    run.check()
    staging = _staging(run)
    if staging.mark(live) != run.job_id:
        if staging.mark(restored) != run.job_id:
            raise GiveUp("the staging database is gone; retry the restore")
        with pooling.paused_database(run):
            staging.swap(live, restored, kept)
    run.ledger.mark_present("database", live)
    run.ledger.mark_gone("database", restored)
    (run.ledger.mark_present if staging.exists(kept) else run.ledger.mark_gone)("database", kept)


def swap_own_database_back(run: Run[RestoreProject]) -> None:
    """Give a project that was there its own database again, when this restore has taken its place."""
    project = run.args.project_id
    live, kept = names.database(project), names.staging(project, "before")
    staging, found = _staging(run), status(run)
    if found in states.RESTORED and staging.mark(live) == run.job_id and staging.exists(kept):
        run.check()
        with pooling.paused_database(run):
            staging.swap_back(live, kept, names.staging(project, "restored"))
        run.ledger.mark_gone("database", kept)
        if found in states.SETTLED:  # any other one lets in whom it let in before
            steps.settle_logins(run)
        steps.reconnect_pooler(run)


def restored_version(run: Run[RestoreProject]) -> RestoredVersion:
    """Return how the restored database compares to a new one."""
    return RestoredVersion.of(run, _manifest(run))


def mark_restored(run: AtomicRun[RestoreProject], tx: Transaction, found: RestoredVersion) -> None:
    """Mark the project restored; retention takes away what was there before once nobody can want it any more."""
    project, hours, template = run.args.project_id, run.settings.restore_undo_hours, found.template
    if not states.move(tx, project, "active", by="project.restore", template=template):
        states.touch(tx, project, template=template)
    if tx.value(SQL.is_kept, {"name": names.staging(project, "before")}):
        until = catalogue.keep_database(tx, project, run.args.backup_id, run.job_id, hours)
        run.result["undoUntil"] = until.isoformat()
    if found.behind:
        run.result["migrateJobId"] = enqueue(tx, MigrateProject(project)).id
    run.result.update(projectId=project, backupId=run.args.backup_id)


def on_failed(args: RestoreProject, tx: Transaction, reason: str) -> None:
    """A project that was to be made of the backup is not there: it keeps its name for a retry or a deletion."""
    states.move(tx, args.project_id, "failed", by="project.restore failed", reason=reason)


def on_retry(args: RestoreProject, tx: Transaction) -> None:
    """Allow the restore to go on. Raises JobConflict when the project is in another state by now."""
    if states.is_in(tx, args.project_id, states.SETTLED):
        return
    if not states.move(tx, args.project_id, "restoring", by="project.restore retried"):
        raise JobConflict("the project is no longer waiting to be restored")


def is_new(run: Run[RestoreProject]) -> bool:
    """Return whether the project had no database before this restore, so that all there is of it was made by this one.

    The status does not tell: one that failed may have its data still. While the restore is taken back it stays true,
    and stays false: what was there before bears the project's name then, or is kept.
    """
    if not is_being_made(run):
        return False
    live, kept = names.database(run.args.project_id), names.staging(run.args.project_id, "before")
    staging = _staging(run)
    return not staging.exists(kept) and (not staging.exists(live) or staging.mark(live) == run.job_id)


def _staging(run: Run[RestoreProject]) -> ProjectStaging:
    return ProjectStaging(run.infra.databases, names.roles(run.args.project_id), run.session)


def is_being_made(run: Run[RestoreProject]) -> bool:
    """Return whether the project did not serve before this restore: it is new, was deleted, or had failed."""
    return status(run) == "restoring"


def is_open(run: Run[RestoreProject]) -> bool:
    """Return whether the project's logins are let in."""
    return status(run) not in states.PAUSED


def _backup(run: Run[RestoreProject]) -> Backup:
    with run.infra.database.autocommit() as tx:
        try:
            return catalogue.find(tx, run.args.backup_id)
        except BackupNotFound as error:
            raise GiveUp(str(error)) from error


def _manifest(run: Run[RestoreProject]) -> Manifest:
    return backups.store(run.infra).read(_backup(run).stem)


def _opened(run: Run[RestoreProject], *, files: bool) -> VerifiedSet:
    return backups.opened(run.infra, _backup(run).stem, backups.monitor(run, "checked"), files=files)


@kind(
    "project.restore",
    steps=(
        Step(check_backup, seconds=BY_SIZE_SECONDS, title="Check the whole backup"),
        AtomicStep(
            restore_secrets,
            reads=kept_beside_data,
            undo=only_if(is_new, steps.forget_secrets),
            title="Restore secrets and settings",
        ),
        AtomicStep(
            steps.store_secrets,
            reads=vault,
            undo=only_if(is_new, steps.forget_secrets),
            title="Make secrets and keys",
        ),
        Step(only_if(is_being_made, steps.create_roles), lasting=True, undo=drop_database_and_roles),
        Step(restore_copy, lasting=True, undo=drop_copy, long=True, title="Restore into a staging database, compare"),
        Step(put_files_in_place, lasting=True, undo=take_files_back, long=True),
        Step(swap_database, undo=swap_own_database_back, no_return=True, title="Swap the database in"),
        Step(steps.settle_logins, lasting=True, title="Allow logins, unless paused"),
        Step(steps.reconnect_pooler, lasting=True, title="Reconnect PgBouncer"),
        Step(
            only_if(is_being_made, steps.add_to_pooler),
            lasting=True,
            undo=only_if(is_new, steps.remove_from_pooler),
            title="Add to PgBouncer",
        ),
        Step(
            only_if(is_being_made, steps.open_data_api),
            lasting=True,
            undo=only_if(is_new, steps.close_data_api),
            title="Open the data API",
        ),
        Step(
            only_if(is_being_made, steps.open_auth),
            lasting=True,
            undo=only_if(is_new, steps.close_auth),
            title="Open Auth",
        ),
        Step(
            only_if(is_being_made, steps.open_storage),
            lasting=True,
            undo=only_if(is_new, steps.close_storage),
            title="Open Storage",
        ),
        Step(only_if(is_open, steps.check_round_trip), title="Check a round trip"),
        AtomicStep(mark_restored, reads=restored_version),
    ),
    queue=BULK,
    on_failure="undo",
    max_running=2,
    conflicts=("project.backup", "project.verify_backup", "project.vacuum"),
    failed=on_failed,
    retried=on_retry,
)
@dataclass(frozen=True)
class RestoreProject:
    """Makes a backup a project's database. partial: also when something of it cannot come back."""

    project_id: str
    backup_id: str
    partial: bool = False
