"""Jobs of the owner who asks; an operator sees everybody's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.http import paging, waiting
from app.http.answers import AcceptedOut, JobOut, JobsOut
from app.http.models import EmptyBody, JobQuery, JobsQuery
from app.http.routing import Call, Routes, ViewResponse
from app.platform.operations import events
from catalog.ids import is_id
from jobs.engine import commands, view
from jobs.engine.commands import JobNotFound
from jobs.engine.table import FINAL, find

if TYPE_CHECKING:
    from flask import Response

    from infra.postgres.database import Transaction

routes = Routes("jobs")


@routes.get("/api/jobs", who="owner", query=JobsQuery, answers={200: JobsOut})
def list_jobs(call: Call) -> ViewResponse:
    """Lists the owner's jobs, newest first."""
    return jobs_page(call, owner_id=call.owner_id)


def jobs_page(call: Call, *, owner_id: str | None) -> ViewResponse:
    """Return a page of jobs; owner_id None: everybody's."""
    place = paging.decode_cursor(call.query.cursor)
    with call.world.infra.database.autocommit() as tx:
        found = view.list_jobs(
            tx,
            owner_id=owner_id,
            project_id=call.query.project_id,
            status=call.query.status,
            kind=call.query.kind,
            parent_id=call.query.parent_id,
            before=place[0] if place else None,
            limit=call.query.limit + 1,
        )
    return ViewResponse(
        paging.page(
            "jobs", found, call.query.limit, show=lambda job: job, place=lambda job: paging.encode_cursor(job["id"])
        )
    )


@routes.get("/api/jobs/<job_id>", who="owner", query=JobQuery, answers={200: JobOut})
def show(call: Call, job_id: str) -> ViewResponse:
    """Shows a job; with ?wait=N only once it has changed, or after N seconds."""
    with call.world.infra.database.autocommit() as tx:
        require_visible(call, tx, job_id)
    if call.query.wait:
        waiting.until_changed(call, job_id, call.query.wait, waiting.job_fingerprint(call.world, job_id))
    with call.world.infra.database.autocommit() as tx:
        job = view.show_job(tx, job_id)
    return ViewResponse(job, headers={} if job["status"] in FINAL else waiting.RETRY_AFTER, version=_lasting(job))


@routes.get("/api/jobs/<job_id>/events", who="owner", answers={200: None, 204: None}, media_type="text/event-stream")
def stream(call: Call, job_id: str) -> Response:
    """Streams the job's events until its end; Last-Event-ID resumes."""
    with call.world.infra.database.autocommit() as tx:
        require_visible(call, tx, job_id)
    return events.event_stream(call.world, job_id, call.owner_id)


@routes.change(
    "POST", "/api/jobs/<job_id>/cancel", action="job.cancel", who="owner", body=EmptyBody,
    answers={202: AcceptedOut, 200: AcceptedOut},
)  # fmt: skip
def cancel(call: Call, tx: Transaction, job_id: str) -> ViewResponse:
    """Stops a job at its next safe point and undoes what its kind says it undoes."""
    require_visible(call, tx, job_id)
    return _changed(tx, commands.cancel(tx, job_id, by=call.owner_id).id)


@routes.change(
    "POST", "/api/jobs/<job_id>/retry", action="job.retry", who="owner", body=EmptyBody,
    answers={202: AcceptedOut, 200: AcceptedOut},
)  # fmt: skip
def retry(call: Call, tx: Transaction, job_id: str) -> ViewResponse:
    """Retries a failed or cancelled job from its first unfinished step."""
    require_visible(call, tx, job_id)
    return _changed(tx, commands.retry(tx, job_id).id)


def require_visible(call: Call, tx: Transaction, job_id: str) -> None:
    """Raise JobNotFound unless the caller may see the job: their own, or as an operator any."""
    job = find(tx, job_id) if is_id("job", job_id) else None
    is_operator = call.caller is not None and call.caller.is_operator
    if job is None or not (job.owner_id == call.owner_id or is_operator):
        raise JobNotFound("you have no such job")


def _changed(tx: Transaction, job_id: str) -> ViewResponse:
    return waiting.accepted_response(view.show_job(tx, job_id))


def _lasting(job: dict[str, Any]) -> dict[str, Any]:
    """Leave out what changes by the clock alone, for the ETag."""
    steps = [{**step, "durationMs": step["durationMs"] if step["finishedAt"] else None} for step in job["steps"]]
    return {**job, "steps": steps}
