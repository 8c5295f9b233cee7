"""What every fleet does once its children rest: it counts them, names those that failed, and holds to its budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infra.postgres.sql import statements
from jobs.engine.errors import GiveUp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.postgres.database import Transaction
    from jobs.engine.run import Run

SQL = statements(__file__)
PLATFORM = "platform"  # what a child is called that is about no project


def projects(tx: Transaction, states: Sequence[str]) -> list[str]:
    """Return the projects that are in one of these states now."""
    return [row["id"] for row in tx.rows(SQL.projects, {"states": list(states)})]


def conclude_fleet(run: Run[Any], done: str, states: Sequence[str], **more: Any) -> None:
    """Report how many children are done and which failed. Raises GiveUp when more failed than `args.budget` allows.

    done    what was done to each, as a word; the result counts by it
    states  in which a project has to be for its failure to count: what was deleted meanwhile is nobody's
    more    what else is reported
    """
    children = run.children()
    left = {child["args"].get("project_id", PLATFORM): child for child in children if child["status"] != "succeeded"}
    with run.infra.database.autocommit() as tx:
        counted = {row["id"] for row in tx.rows(SQL.among, {"projects": list(left), "states": list(states)})}
    counted.add(PLATFORM)
    failed = [_failure(project, child) for project, child in left.items() if project in counted]
    told = {done: len(children) - len(left), "failed": failed, **more}
    if len(failed) > run.args.budget:
        raise GiveUp(f"{len(failed)} of {len(children)} projects could not be {done}", facts=told)
    run.result.update(told)


def _failure(project: str, child: dict[str, Any]) -> dict[str, str]:
    reason = str((child["error"] or {}).get("detail") or child["status"])
    return {"projectId": project, "jobId": child["id"], "reason": reason}
