"""project.migrate: a project's database has what the template has by now, or what its owner wants applied to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import names, owner_migrations
from catalog import project_states as states
from infra.errors import Refused
from infra.postgres.sql import statements
from infra.postgres.upgrades import TemplateUpgrades
from jobs.engine.commands import JobConflict
from jobs.engine.errors import GiveUp
from jobs.engine.kind import AtomicStep, Step, kind
from jobs.projects import owner_migration
from jobs.projects.conditions import newest_template, only_if, status
from jobs.projects.steps import check_round_trip

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from infra.postgres.upgrades import UpgradeStatus
    from jobs.engine.run import AtomicRun, Run

SQL = statements(__file__)


def check_migratable(run: AtomicRun[MigrateProject], tx: Transaction) -> None:
    """Raise GiveUp unless the project is in a state in which it can be migrated."""
    found = states.state_of(tx, run.args.project_id)
    if found not in _allowed(run.args):
        raise GiveUp(f"the project is {found or 'deleted'}")


def apply_missing(run: Run[MigrateProject]) -> None:
    """Apply what the database lacks of our own files, one transaction each. Raises Refused for an edited one."""
    if run.args.migration_id is not None:
        return
    database = names.database(run.args.project_id)
    upgrades = _upgrades(run)
    standing = upgrades.status(database, run.session)
    if standing.edited:
        raise Refused(f"{', '.join(standing.edited)}: edited after it had been applied to this project")
    for done, version in enumerate(standing.missing):
        run.check()
        run.progress(done, len(standing.missing), version)
        upgrades.apply(version, database, names.roles(run.args.project_id), run.session, run.check)
        run.log(f"{version} was applied")
    _report(run, upgrades.status(database, run.session) if standing.missing else standing)


def _report(run: Run[MigrateProject], standing: UpgradeStatus) -> None:
    with run.infra.database.autocommit() as tx:
        since = tx.value(SQL.asked_at, {"job": run.job_id})
    run.result.update(
        projectId=run.args.project_id,
        applied=[line.version for line in standing.applied if line.applied_at >= since],
        versions=[line.version for line in standing.applied],
        ahead=list(standing.ahead),
    )


def apply_owners_migration(run: Run[MigrateProject]) -> None:
    """Apply what the owner has sent, as the owner. Raises GiveUp with the server's reason."""
    if run.args.migration_id is not None:
        owner_migration.apply(run, run.args.migration_id)


def settle_owners_migration(run: Run[MigrateProject]) -> None:
    """Record what became of what the owner has sent: nothing of it is taken back that was committed."""
    if run.args.migration_id is not None:
        owner_migration.settle(run, run.args.migration_id)


def is_ours_and_active(run: Run[MigrateProject]) -> bool:
    """Return whether an active project has to answer still; what its owner did to it is the owner's business."""
    return run.args.migration_id is None and status(run) in states.ACTIVE


def note_template(run: AtomicRun[MigrateProject], tx: Transaction, template: str) -> None:
    """Record in the catalogue which template the project is equal to; one that is ahead of ours keeps its own."""
    if run.args.migration_id is None and not run.result["ahead"]:
        states.set_template(tx, run.args.project_id, template)


def on_failed(args: MigrateProject, tx: Transaction, _reason: str) -> None:
    """Mark a migration that never began as failed."""
    if args.migration_id is not None:
        owner_migrations.mark_waiting_failed(tx, args.migration_id)


def on_retry(args: MigrateProject, tx: Transaction) -> None:
    """Allow the migration to go on. Raises JobConflict when the project or the migration is in no state for it."""
    found = states.state_of(tx, args.project_id)
    if found not in _allowed(args):
        raise JobConflict(f"the project is {found or 'deleted'}")
    if args.migration_id is not None:
        try:
            owner_migrations.reopen(tx, args.migration_id)
        except owner_migrations.MigrationConflict as error:
            raise JobConflict(str(error)) from error


def _allowed(args: MigrateProject) -> tuple[str, ...]:
    return states.SETTLED if args.migration_id is None else states.ACTIVE


def _upgrades(run: Run[MigrateProject]) -> TemplateUpgrades:
    return TemplateUpgrades(run.infra.databases.cluster, run.infra.databases.templates.folder)


@kind(
    "project.migrate",
    steps=(
        AtomicStep(check_migratable, title="Check that the project can be migrated"),
        Step(apply_missing, lasting=True, long=True, title="Apply missing migrations"),
        Step(apply_owners_migration, undo=settle_owners_migration, long=True, title="Apply the owner's migration"),
        Step(only_if(is_ours_and_active, check_round_trip), title="Check a round trip"),
        AtomicStep(note_template, reads=newest_template),
    ),
    on_failure="undo",
    failed=on_failed,
    retried=on_retry,
)
@dataclass(frozen=True)
class MigrateProject:
    """Brings a project's database from the template that it was copied from to the newest.

    migration_id  or else: the owner's migration that is to be applied
    """

    project_id: str
    migration_id: int | None = None
