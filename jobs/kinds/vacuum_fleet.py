"""fleet.vacuum: every active project is vacuumed, two at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.sql import statements
from jobs.errors import GiveUp
from jobs.kind import BULK, Step, kind
from jobs.kinds.vacuum import VacuumProject

if TYPE_CHECKING:
    from infra.database import Transaction
    from jobs.run import Run

SQL = statements(__file__)
AT_A_TIME = 2


def active_projects_are_enqueued(run: Run[VacuumFleet], tx: Transaction) -> None:
    """Enqueue a vacuum of each active project."""
    for row in tx.rows(SQL.active):
        run.spawn(tx, VacuumProject(row["id"]))


def projects_are_vacuumed(run: Run[VacuumFleet]) -> None:
    """Report what became of them. Raises GiveUp, naming them, when more failed than the budget allows."""
    children = run.children()
    left = {str(child["args"]["project_id"]): child for child in children if child["status"] != "succeeded"}
    with run.infra.database.autocommit() as tx:
        # What was paused or deleted meanwhile is nobody's failure.
        wanted = {row["id"] for row in tx.rows(SQL.wanted, {"projects": list(left)})}
    failed = [
        {
            "projectId": project,
            "jobId": child["id"],
            "reason": str((child["error"] or {}).get("detail") or child["status"]),
        }
        for project, child in left.items()
        if project in wanted
    ]
    told = {"vacuumed": len(children) - len(left), "failed": failed}
    if len(failed) > run.args.budget:
        raise GiveUp(f"{len(failed)} of {len(children)} projects could not be vacuumed", facts=told)
    run.result.update(told)


@kind(
    "fleet.vacuum",
    steps=(
        Step(active_projects_are_enqueued, atomic=True, title="Ask for those that are active"),
        Step(projects_are_vacuumed, joins=True, title="Wait for them"),
    ),
    queue=BULK,
    lane=None,
    max_children=AT_A_TIME,
    coalesces=True,
)
@dataclass(frozen=True)
class VacuumFleet:
    """Vacuums all active projects. `budget`: how many may fail without the whole counting as failed."""

    budget: int = 0
