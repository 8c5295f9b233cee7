"""What a person may do to a job: cancel it, try it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.engine import kind as kinds
from jobs.engine.errors import JobError, UnknownKind
from jobs.engine.table import SQL, Job, find

if TYPE_CHECKING:
    from infra.postgres.database import Transaction


class JobNotFound(JobError):
    """There is no such job."""


class JobConflict(JobError):
    """The job's state does not allow this; the message names the state."""


def cancel(tx: Transaction, job_id: str, *, by: str) -> Job:
    """Ask for a job to be stopped: at once when it waits, at its next safe point when it runs.

    Raises JobNotFound, and JobConflict when it is final or past its point of no return.
    """
    tx.execute(SQL.lock, {"id": job_id})
    job = tx.one(Job, SQL.find_locked, {"id": job_id})
    if job is None:
        raise JobNotFound(f"there is no job {job_id}")
    if job.final:
        raise JobConflict(f"the job is {job.status} already")
    if job.past_return:
        raise JobConflict("the job is past its point of no return and will be carried to its end")
    if job.status == "cancelling" or (job.undoing and job.cancel_requested_at):
        return job
    _cancel_children(tx, job, by)
    values = {"id": job_id, "reason": f"cancelled by {by}"}
    if job.status == "running":
        changed = tx.one(Job, SQL.cancel_running, values)
    elif tx.value(SQL.begun, values):
        changed = tx.one(Job, SQL.cancel_begun, values)
        tx.ring(job.queue, job.id)
    else:
        changed = tx.one(Job, SQL.cancel_waiting, values)
        call_on_failed(tx, job, "cancelled")
        _tell_parent(tx, job)
    tx.execute(SQL.tell_job, values)
    if job.lane is not None:
        tx.execute(SQL.refresh_lane, {"lane": job.lane})
    return changed or job


def retry(tx: Transaction, job_id: str) -> Job:
    """Allow a failed or cancelled job to go on from its first unfinished step.

    Raises JobNotFound, and JobConflict when it is in another state or its subject no longer allows it.
    """
    tx.execute(SQL.lock, {"id": job_id})
    job = tx.one(Job, SQL.find_locked, {"id": job_id})
    if job is None:
        raise JobNotFound(f"there is no job {job_id}")
    if job.status not in ("failed", "cancelled"):
        raise JobConflict(f"only a failed or cancelled job can be retried; this one is {job.status}")
    if job.superseded:
        raise JobConflict("the job was superseded by a deletion")
    declared = kinds.find(job.kind, job.version)
    if declared.retried is not None:
        declared.retried(kinds.from_json(declared, job.args), tx)
    for child in tx.rows(SQL.unsuccessful_children, {"id": job_id}):
        try:
            retry(tx, child["id"])
        except JobConflict:
            continue  # its subject is gone or in another state by now; the others go on
    tx.one(Job, SQL.revive, {"id": job_id})
    tx.execute(SQL.revive_steps, {"id": job_id})
    tx.execute(SQL.tell_job, {"id": job_id})
    if job.lane is not None:
        tx.execute(SQL.refresh_lane, {"lane": job.lane})
    tx.ring(job.queue, job.id)
    revived = find(tx, job_id)
    return revived or job


def _cancel_children(tx: Transaction, job: Job, by: str) -> None:
    """A parent takes its children with it; those that cannot be stopped any more are waited for."""
    for child in tx.rows(SQL.open_children, {"id": job.id}):
        try:
            cancel(tx, child["id"], by=by)
        except JobConflict:
            continue
    tx.execute(SQL.unpark, {"id": job.id})


def _tell_parent(tx: Transaction, job: Job) -> None:
    released = tx.one(Job, SQL.release_parent, {"parent": job.parent_id})
    if released is not None:
        tx.ring(released.queue, released.id)


def call_on_failed(tx: Transaction, job: Job, reason: str) -> None:
    """Call the kind's `failed`, which writes into the catalogue that its job has failed or was cancelled."""
    try:
        declared = kinds.find(job.kind, job.version)
    except UnknownKind:
        return  # its own version of the program will be asked when it retries
    if declared.failed is not None and not job.superseded:
        declared.failed(kinds.from_json(declared, job.args), tx, reason)
