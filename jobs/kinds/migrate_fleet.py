"""fleet.migrate: every project that is behind the newest template is brought to it, a few at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.sql import statements
from jobs.drift import SETTLED
from jobs.errors import GiveUp
from jobs.kind import Step, kind
from jobs.kinds.migrate import MigrateProject

if TYPE_CHECKING:
    from infra.database import Transaction
    from jobs.run import Run

SQL = statements(__file__)
AT_A_TIME = 4


def projects_behind_are_enqueued(run: Run[MigrateFleet], tx: Transaction) -> None:
    """Enqueue a migration for each project that is not equal to the newest template."""
    for row in tx.rows(SQL.behind, _newest(run)):
        run.spawn(tx, MigrateProject(row["id"]))


def projects_are_migrated(run: Run[MigrateFleet]) -> None:
    """Report what became of them. Raises GiveUp, naming them, when more failed than the budget allows."""
    children = run.children()
    left = {str(child["args"]["project_id"]): child for child in children if child["status"] != "succeeded"}
    with run.infra.database.autocommit() as tx:
        # What was deleted meanwhile is nobody's failure.
        wanted = {row["id"] for row in tx.rows(SQL.wanted, {"projects": list(left)})}
        behind = [row["id"] for row in tx.rows(SQL.behind, _newest(run))]
    failed = [_failure(project, child) for project, child in left.items() if project in wanted]
    told = {"migrated": len(children) - len(left), "failed": failed, "behind": behind}
    if len(failed) > run.args.budget:
        raise GiveUp(f"{len(failed)} of {len(children)} projects could not be migrated", facts=told)
    run.result.update(told)


def _newest(run: Run[MigrateFleet]) -> dict[str, Any]:
    return {"settled": list(SETTLED), "template": run.infra.databases.templates.name}


def _failure(project: str, child: dict[str, Any]) -> dict[str, str]:
    reason = str((child["error"] or {}).get("detail") or child["status"])
    return {"projectId": project, "jobId": child["id"], "reason": reason}


@kind(
    "fleet.migrate",
    steps=(
        Step(projects_behind_are_enqueued, atomic=True, title="Ask for those that are behind"),
        Step(projects_are_migrated, joins=True, title="Wait for them"),
    ),
    lane=None,
    max_children=AT_A_TIME,
    coalesces=True,
)
@dataclass(frozen=True)
class MigrateFleet:
    """Migrates all projects that are behind. `budget`: how many may fail without the whole counting as failed."""

    budget: int = 0
