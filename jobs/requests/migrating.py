"""Who may ask for a migration of a project, and when; and how far projects are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog import names, owner_migrations
from catalog import project_states as states
from catalog.projects import ProjectBusy
from infra.postgres.sql import statements
from infra.postgres.upgrades import TemplateUpgrades
from jobs.engine.enqueue import enqueue
from jobs.engine.table import Job
from jobs.kinds.project.migrate import MigrateProject

if TYPE_CHECKING:
    from catalog.owner_migrations import OwnerMigration
    from infra.composition import Infra
    from infra.postgres.database import Transaction
    from infra.postgres.upgrades import UpgradeStatus

SQL = statements(__file__)


def request_migration(tx: Transaction, project_id: str, **asked: Any) -> Job:
    """Ask for a project to be brought to the newest template; one under way is returned. Raises ProjectBusy."""
    _allow(tx, project_id, states.SETTLED)
    under_way = tx.one(Job, SQL.under_way, {"project": project_id})
    return under_way or enqueue(tx, MigrateProject(project_id), **asked)


def request_owner_migration(tx: Transaction, migration: OwnerMigration, **asked: Any) -> Job:
    """Ask for an owner's migration to be applied, after those that wait already. Raises ProjectBusy."""
    _allow(tx, migration.project_id, states.ACTIVE)
    job = enqueue(tx, MigrateProject(migration.project_id, migration.id), **asked)
    owner_migrations.assign_job(tx, migration.id, job.id)
    return job


def projects_behind(tx: Transaction, infra: Infra) -> list[dict[str, Any]]:
    """Return the projects that are not equal to the newest template, by the catalogue: id, name, status, template."""
    return tx.rows(SQL.behind, {**states.SETS, "template": infra.databases.templates.name})


def migration_status(infra: Infra, project_id: str, session: str) -> UpgradeStatus:
    """Look how far a project's database is; changes nothing. Raises Unavailable, Refused."""
    upgrades = TemplateUpgrades(infra.databases.cluster, infra.databases.templates.folder)
    return upgrades.status(names.database(project_id), session)


def _allow(tx: Transaction, project_id: str, wanted: tuple[str, ...]) -> None:
    # The row is the lock: the last step of a job that changes the state takes turns with us.
    status = states.state_of(tx, project_id, lock=True)
    in_the_way = tx.value(SQL.in_the_way, {"project": project_id})
    if status not in wanted or in_the_way is not None:
        raise ProjectBusy(status or "deleted", in_the_way)
