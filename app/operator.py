"""What operators see of the whole installation; to everybody else none of this is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app import jobs
from app.answers import JobsOut, QueueOut, QueuesOut, WorkersOut
from app.models import JobsQuery, Nothing
from app.problems import Problem
from app.routing import Answer, Call, Routes
from jobs import view

if TYPE_CHECKING:
    from infra.database import Transaction

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


def _shown(tx: Transaction, queue: str) -> Answer:
    return Answer(next(found for found in view.queues(tx) if found["name"] == queue))


def _unknown() -> Problem:
    return Problem(404, "queue-not-found", "there is no such queue")
