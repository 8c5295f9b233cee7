"""fleet.rotate: a secret of every project is rotated, a few projects at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.sql import statements
from jobs.drift import SETTLED
from jobs.errors import GiveUp
from jobs.kind import Step, kind
from jobs.kinds.rotate_secret import RotateSecret

if TYPE_CHECKING:
    from infra.database import Transaction
    from jobs.run import Run

SQL = statements(__file__)
AT_A_TIME = 4


def rotations_are_enqueued(run: Run[RotateFleet], tx: Transaction) -> None:
    """Enqueue a rotation for each project that is active or paused."""
    for row in tx.rows(SQL.settled, {"settled": list(SETTLED)}):
        run.spawn(tx, RotateSecret(row["id"], run.args.secret, run.args.grace_seconds))


def secrets_are_rotated(run: Run[RotateFleet]) -> None:
    """Report what became of them. Raises GiveUp, naming them, when more failed than the budget allows."""
    children = run.children()
    left = {str(child["args"]["project_id"]): child for child in children if child["status"] != "succeeded"}
    with run.infra.database.autocommit() as tx:
        # What was deleted meanwhile is nobody's failure.
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
    told = {"rotated": len(children) - len(left), "failed": failed}
    if len(failed) > run.args.budget:
        raise GiveUp(f"a secret of {len(failed)} of {len(children)} projects could not be rotated", facts=told)
    run.result.update(told)


@kind(
    "fleet.rotate",
    steps=(
        Step(rotations_are_enqueued, atomic=True, title="Ask for each project's"),
        Step(secrets_are_rotated, joins=True, title="Wait for them"),
    ),
    lane=None,
    max_children=AT_A_TIME,
    coalesces=True,
)
@dataclass(frozen=True)
class RotateFleet:
    """Rotates a secret of all projects. `budget`: how many may fail without the whole counting as failed."""

    secret: str
    grace_seconds: int = 0
    budget: int = 0
