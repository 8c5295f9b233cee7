"""When a job will be done: from the history of its kind's steps, and within a step from the work that is reported.

Nothing is said that cannot be known: a step without a history, a paused queue or a missing worker makes it None.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from jobs.engine import history, table
from jobs.engine import kind as kinds
from jobs.engine.errors import UnknownKind
from jobs.engine.table import FINAL, Job

if TYPE_CHECKING:
    from datetime import datetime

    from infra.postgres.database import Transaction

Steps = list[dict[str, Any]]
Medians = dict[tuple[str, str], float]
_RUNNING = ("running", "cancelling")
_DONE = ("succeeded", "skipped")


def finish_times(
    tx: Transaction,
    jobs: list[Job],
    *,
    steps: dict[str, Steps],
    waiting: dict[str, dict[str, Any] | None],
    children: dict[str, dict[str, Any]],
) -> dict[str, datetime | None]:
    """Return when each open job will be done, or None where that cannot be said; no query without open jobs."""
    wanted = [job for job in jobs if job.status not in FINAL and not job.undoing and job.cancel_requested_at is None]
    if not wanted:
        return {}
    now: datetime = tx.value(history.SQL.now)
    known = history.medians(tx, sorted({job.kind for job in wanted}))
    found: dict[str, datetime | None] = {}
    for job in wanted:
        if children.get(job.id, {}).get("total"):
            seconds = _of_children(job, children[job.id], now)
        else:
            seconds = _remaining(job, steps.get(job.id) or [], known, now)
        begins = now if job.status in _RUNNING or job.parked else _begins(tx, job, waiting.get(job.id), now)
        found[job.id] = None if seconds is None or begins is None else begins + timedelta(seconds=seconds)
    return found


def _remaining(job: Job, steps: Steps, known: Medians, now: datetime) -> float | None:
    """Return the seconds of work that are left, once it runs."""
    total = 0.0
    for step in steps or _declared(job):
        if step["status"] in _DONE:
            continue
        took = known.get((job.kind, step["name"]))
        if step["status"] == "running" and job.status in _RUNNING:
            passed = (now - step["started_at"]).total_seconds()
            if job.progress_message is not None and 0 < job.progress_done <= job.progress_total:
                took = passed * job.progress_total / job.progress_done
            took = None if took is None else max(0.0, took - passed)
        if took is None:
            return None
        total += took
    return total


def _declared(job: Job) -> Steps:
    try:
        return [{"name": step.name, "status": "pending"} for step in kinds.find(job.kind, job.version).steps]
    except UnknownKind:
        return [{"name": "", "status": "pending"}]


def _of_children(job: Job, children: dict[str, Any], now: datetime) -> float | None:
    """A parent goes on as its children have come to rest so far."""
    done = children["total"] - children["open"]
    if not done or job.started_at is None:
        return None
    return float((now - job.started_at).total_seconds() * children["open"] / done)


def _begins(tx: Transaction, job: Job, waiting: dict[str, Any] | None, now: datetime) -> datetime | None:
    """Return when a waiting job is likely to be taken: at its time, or once those before it in its lane are done."""
    if waiting is None:
        return now
    if waiting["reason"] in ("retry", "scheduled"):
        return max(now, job.run_at)
    if waiting["reason"] != "behind" or job.lane is None:
        return None
    ahead = tx.all(Job, history.SQL.ahead, {"lane": job.lane, "seq": job.seq})
    if waiting["jobId"] not in {other.id for other in ahead}:
        return None
    return _after(tx, ahead, now)


def _after(tx: Transaction, ahead: list[Job], now: datetime) -> datetime | None:
    """Return when the last of these will be done, one after the other."""
    known = history.medians(tx, sorted({other.kind for other in ahead}))
    total = 0.0
    for other in ahead:
        left = None if other.parked else _remaining(other, table.steps(tx, other.id), known, now)
        if left is None:
            return None
        rests = (other.run_at - now).total_seconds() if other.status == "retrying" else 0.0
        total += left + max(0.0, rests)
    return now + timedelta(seconds=total)
