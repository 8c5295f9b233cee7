"""What operators see of the whole installation; to everybody else none of this is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.http import paging
from app.http.answers import JobsOut, QueueOut, QueuesOut, WorkersOut
from app.http.models import EmptyBody, JobsQuery, PageQuery
from app.http.problems import Problem
from app.http.routing import Call, Routes, ViewResponse
from app.platform.operations import jobs
from app.platform.operations.answers_operator import AttentionOut
from app.platform.projects.answers_project import SealedAuditOut, audit_entry_out
from catalog import audit_chain
from jobs.engine import view
from jobs.requests.attention import wants_attention

if TYPE_CHECKING:
    from catalog.audit_chain import SealedLine
    from infra.postgres.database import Transaction

routes = Routes("operator")


@routes.get("/api/admin/jobs", who="operator", query=JobsQuery, answers={200: JobsOut})
def all_jobs(call: Call) -> ViewResponse:
    """Lists the jobs of all owners, newest first."""
    return jobs.jobs_page(call, owner_id=None)


@routes.get("/api/admin/workers", who="operator", answers={200: WorkersOut})
def workers(call: Call) -> ViewResponse:
    """Lists the workers that have not signed off."""
    with call.world.infra.database.autocommit() as tx:
        return ViewResponse({"workers": view.workers(tx)})


@routes.get("/api/admin/queues", who="operator", answers={200: QueuesOut})
def queues(call: Call) -> ViewResponse:
    """Lists the queues with their depth and the age of what waits longest."""
    with call.world.infra.database.autocommit() as tx:
        return ViewResponse({"queues": view.queues(tx)})


@routes.get("/api/admin/attention", who="operator", answers={200: AttentionOut})
def attention(call: Call) -> ViewResponse:
    """Lists what somebody should look at, the weightiest first; what was put right is not among it."""
    with call.world.infra.database.autocommit() as tx:
        return ViewResponse({"attention": wants_attention(tx, call.world.settings)})


@routes.change(
    "POST", "/api/admin/queues/<queue>/pause", action="queue.pause", who="operator", body=EmptyBody,
    answers={200: QueueOut},
)  # fmt: skip
def pause(call: Call, tx: Transaction, queue: str) -> ViewResponse:
    """Pauses a queue: no worker takes anything more from it."""
    if "\0" in queue or not view.pause_queue(tx, queue, by=call.owner_id):
        raise _unknown()
    return _shown(tx, queue)


@routes.change(
    "POST", "/api/admin/queues/<queue>/resume", action="queue.resume", who="operator", body=EmptyBody,
    answers={200: QueueOut},
)  # fmt: skip
def resume(_call: Call, tx: Transaction, queue: str) -> ViewResponse:
    """Resumes a queue: workers take from it again."""
    if "\0" in queue or not view.resume_queue(tx, queue):
        raise _unknown()
    return _shown(tx, queue)


@routes.get("/api/admin/audit", who="operator", query=PageQuery, answers={200: SealedAuditOut})
def list_audit(call: Call) -> ViewResponse:
    """Lists who did what in the whole installation, newest first, and where the hash chain ends."""
    before = paging.decode_number(call.query.cursor)
    with call.world.infra.database.autocommit() as tx:
        found = audit_chain.page(tx, before=before, limit=call.query.limit + 1)
        end = audit_chain.chain_state(tx)
    page = paging.page(
        "audit", found, call.query.limit, show=_line, place=lambda line: paging.encode_cursor(str(line.id))
    )
    chain = {
        "lastId": end.last_id,
        "link": end.link,
        "sealedAt": view.rfc3339(end.sealed_at),
        "unsealed": end.unsealed,
        "oldestUnsealedSeconds": end.oldest_unsealed_seconds,
    }
    return ViewResponse({**page, "chain": chain})


def _line(line: SealedLine) -> dict[str, Any]:
    more = {"id": line.id, "ownerId": line.owner_id, "projectId": line.project_id, "sealed": line.sealed}
    return {**audit_entry_out(line), **more}


def _shown(tx: Transaction, queue: str) -> ViewResponse:
    return ViewResponse(next(found for found in view.queues(tx) if found["name"] == queue))


def _unknown() -> Problem:
    return Problem(404, "queue-not-found", "there is no such queue")
