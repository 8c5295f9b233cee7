"""What operators see of the whole installation; to everybody else none of this is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.http import paging
from app.http.answers import JobsOut, QueueOut, QueuesOut, WorkersOut
from app.http.models import JobsQuery, Nothing, PageQuery
from app.http.problems import Problem
from app.http.routing import Answer, Call, Routes
from app.platform.operations import jobs
from app.platform.projects.answers_project import SealedAuditOut, audit_line
from catalog import audit_chain
from jobs.engine import view

if TYPE_CHECKING:
    from catalog.audit_chain import SealedLine
    from infra.postgres.database import Transaction

routes = Routes("operator")


@routes.get("/api/admin/jobs", who="operator", query=JobsQuery, answers={200: JobsOut})
def all_jobs(call: Call) -> Answer:
    """Lists the jobs of all owners, newest first."""
    return jobs.page(call, owner_id=None)


@routes.get("/api/admin/workers", who="operator", answers={200: WorkersOut})
def workers(call: Call) -> Answer:
    """Lists the workers that have not signed off."""
    with call.world.infra.database.autocommit() as tx:
        return Answer({"workers": view.workers(tx)})


@routes.get("/api/admin/queues", who="operator", answers={200: QueuesOut})
def queues(call: Call) -> Answer:
    """Lists the queues with their depth and the age of what waits longest."""
    with call.world.infra.database.autocommit() as tx:
        return Answer({"queues": view.queues(tx)})


@routes.change(
    "POST", "/api/admin/queues/<queue>/pause", action="queue.pause", who="operator", body=Nothing,
    answers={200: QueueOut},
)  # fmt: skip
def pause(call: Call, tx: Transaction, queue: str) -> Answer:
    """Lets no worker take anything more from a queue."""
    if "\0" in queue or not view.pause_queue(tx, queue, by=call.owner_id):
        raise _unknown()
    return _shown(tx, queue)


@routes.change(
    "POST", "/api/admin/queues/<queue>/resume", action="queue.resume", who="operator", body=Nothing,
    answers={200: QueueOut},
)  # fmt: skip
def resume(_call: Call, tx: Transaction, queue: str) -> Answer:
    """Lets workers take from a queue again."""
    if "\0" in queue or not view.resume_queue(tx, queue):
        raise _unknown()
    return _shown(tx, queue)


@routes.get("/api/admin/audit", who="operator", query=PageQuery, answers={200: SealedAuditOut})
def audited(call: Call) -> Answer:
    """Lists who did what in the whole installation, newest first, and where the hash chain ends."""
    before = paging.number_of(call.query.cursor)
    with call.world.infra.database.autocommit() as tx:
        found = audit_chain.page(tx, before=before, limit=call.query.limit + 1)
        end = audit_chain.state(tx)
    page = paging.page("audit", found, call.query.limit, show=_line, place=lambda line: paging.cursor_of(str(line.id)))
    chain = {
        "lastId": end.last_id,
        "link": end.link,
        "sealedAt": view.rfc3339(end.sealed_at),
        "unsealed": end.unsealed,
        "oldestUnsealedSeconds": end.oldest_unsealed_seconds,
    }
    return Answer({**page, "chain": chain})


def _line(line: SealedLine) -> dict[str, Any]:
    more = {"id": line.id, "ownerId": line.owner_id, "projectId": line.project_id, "sealed": line.sealed}
    return {**audit_line(line), **more}


def _shown(tx: Transaction, queue: str) -> Answer:
    return Answer(next(found for found in view.queues(tx) if found["name"] == queue))


def _unknown() -> Problem:
    return Problem(404, "queue-not-found", "there is no such queue")
