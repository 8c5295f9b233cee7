"""The one door in: a job is written in the caller's own transaction, so it exists exactly when the change does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from catalog.ids import new_id
from infra.postgres.sql import statements
from jobs.engine import kind as kinds
from jobs.engine.table import Job

if TYPE_CHECKING:
    from datetime import datetime

    from infra.postgres.database import Transaction
    from jobs.engine.kind import Kind

SQL = statements(__file__)


def enqueue(  # noqa: PLR0913 - who, for whom and when are all optional facts about one job
    tx: Transaction,
    arguments: Any,
    *,
    by: str = "system",
    owner_id: str | None = None,
    request_id: str | None = None,
    run_at: datetime | None = None,
    priority: int | None = None,
    parent_id: str | None = None,
) -> Job:
    """Write a job into the open transaction and ring for it once that has committed.

    arguments  an instance of a registered kind's dataclass: ids and references, never secrets
    by         who asked: an owner's id, 'operator' or 'system'
    priority   each point lets the job go before others that became due up to a minute earlier

    Returns the new job, or the open one that a coalescing kind (not as a child) or a superseding one folded into.
    """
    declared, args = kinds.of(arguments), kinds.to_json(arguments)
    values = {"owner": owner_id, "run_at": run_at, "parent": parent_id, "by": by, "request": request_id}
    job = tx.one(Job, SQL.enqueue, {**_of_kind(declared, args, priority, parent_id), **values})
    if job is None:
        raise RuntimeError("enqueue_job returned no row")
    if job.ready:
        tx.ring(job.queue, job.id)
    if declared.supersedes:
        for row in tx.rows(SQL.superseded, {"project": job.project_id, "id": job.id}):
            tx.ring(row["queue"], row["id"])
    return job


def _of_kind(declared: Kind, args: dict[str, Any], priority: int | None, parent_id: str | None) -> dict[str, Any]:
    """Return what a job's kind and arguments say of its row."""
    project_id = args.get("project_id")
    return {
        "id": new_id("job"),
        "kind": declared.name,
        "version": declared.version,
        "queue": declared.queue,
        "lane": f"{project_id}/{declared.lane}" if project_id and declared.lane else None,
        "project": project_id,
        "args": Jsonb(args),
        "priority": declared.priority if priority is None else priority,
        "preempts": declared.preempts,
        "supersedes": declared.supersedes,
        # A parent waits for children of its own: it would never hear of somebody else's job.
        "coalesces": declared.coalesces and parent_id is None,
        "attempts": declared.attempts,
        "max_children": declared.max_children,
    }
