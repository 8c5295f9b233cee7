"""fleet.migrate: every project that is behind the newest template is brought to it, a few at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalog import project_states as states
from infra.postgres.sql import statements
from jobs.engine.kind import AtomicStep, Step, kind
from jobs.kinds.project.migrate import MigrateProject
from jobs.projects import fleet
from jobs.projects.conditions import newest_template

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.engine.run import AtomicRun, Run

SQL = statements(__file__)
AT_A_TIME = 4


def enqueue_migrations(run: AtomicRun[MigrateFleet], tx: Transaction, template: str) -> None:
    """Enqueue a migration for each project that is not equal to the newest template."""
    for row in tx.rows(SQL.behind, _behind(template)):
        run.spawn(tx, MigrateProject(row["id"]))


def wait_for_migrations(run: Run[MigrateFleet]) -> None:
    """Report what became of them. Raises GiveUp, naming them, when more failed than the budget allows."""
    with run.infra.database.autocommit() as tx:
        behind = [row["id"] for row in tx.rows(SQL.behind, _behind(newest_template(run)))]
    fleet.conclude_fleet(run, "migrated", states.SETTLED, behind=behind)


def _behind(template: str) -> dict[str, Any]:
    return {**states.SETS, "template": template}


@kind(
    "fleet.migrate",
    steps=(
        AtomicStep(enqueue_migrations, reads=newest_template),
        Step(wait_for_migrations, joins="migration"),
    ),
    lane=None,
    max_children=AT_A_TIME,
    coalesces=True,
)
@dataclass(frozen=True)
class MigrateFleet:
    """Migrates all projects that are behind. `budget`: how many may fail without the whole counting as failed."""

    budget: int = 0
