"""Jobs, queues and workers as the API shows them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from infra.postgres.sql import statements
from jobs.engine import estimate
from jobs.engine import kind as kinds
from jobs.engine.commands import JobNotFound
from jobs.engine.errors import UnknownKind
from jobs.engine.table import Job

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.engine.kind import AnyStep

SQL = statements(__file__)
_COLUMNS = tuple(member.name for member in fields(Job))


def rfc3339(moment: datetime | None) -> str | None:
    """Return a time as RFC 3339 UTC with milliseconds, or None."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def show_job(tx: Transaction, job_id: str) -> dict[str, Any]:
    """Return one job as the API shows it. Raises JobNotFound."""
    row = tx.row(SQL.show, {"id": job_id})
    if row is None:
        raise JobNotFound(f"there is no job {job_id}")
    return _with_steps(tx, [row])[0]


def job_json(tx: Transaction, job: Job) -> dict[str, Any]:
    """Return a job as the API shows it; one that was enqueued in this transaction costs no further query."""
    if job.fence == 0 and job.ready and job.status == "queued":
        return _json(job, waiting_for=None, steps=[], children=None)
    return show_job(tx, job.id)


def list_jobs(  # noqa: PLR0913 - the documented filters of the list
    tx: Transaction,
    *,
    owner_id: str | None = None,
    project_id: str | None = None,
    status: str | None = None,
    kind: str | None = None,
    parent_id: str | None = None,
    before: str | None = None,
    limit: int = 50,
) -> list[dict[str, Any]]:
    """Return jobs, newest first; owner_id None means everybody's. `before` is the last id of the page before."""
    rows = tx.rows(
        SQL.list,
        {
            "owner": owner_id,
            "project": project_id,
            "status": status,
            "kind": kind,
            "parent": parent_id,
            "before": before,
            "limit": limit,
        },
    )
    return _with_steps(tx, rows)


def _with_steps(tx: Transaction, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    ids = [row["id"] for row in rows]
    steps: dict[str, list[dict[str, Any]]] = {job_id: [] for job_id in ids}
    for step in tx.rows(SQL.steps, {"ids": ids}):
        steps[step.pop("job_id")].append(step)
    children = {row.pop("parent_id"): row for row in tx.rows(SQL.children, {"ids": ids})}
    waiting = {row["id"]: row["waiting_for"] for row in rows}
    jobs = [Job(**{name: row[name] for name in _COLUMNS}) for row in rows]
    times = estimate.finish_times(tx, jobs, steps=steps, waiting=waiting, children=children)
    return [
        {
            **_json(job, waiting_for=waiting[job.id], steps=steps[job.id], children=children.get(job.id)),
            "estimatedFinishAt": rfc3339(times.get(job.id)),
        }
        for job in jobs
    ]


def _json(
    job: Job, *, waiting_for: dict[str, Any] | None, steps: list[dict[str, Any]], children: dict[str, Any] | None
) -> dict[str, Any]:
    return {
        "id": job.id,
        "kind": job.kind,
        "status": job.status,
        "projectId": job.project_id,
        "parentId": job.parent_id,
        "children": children or {"total": 0, "succeeded": 0, "failed": 0, "open": 0},
        "createdBy": job.created_by,
        "requestId": job.request_id,
        "priority": job.priority,
        "attempt": job.attempt,
        "maxAttempts": job.max_attempts,
        "progress": _progress(job, children),
        "steps": _steps(job, steps, children["total"] if children else 0),
        # Before, it is what the steps so far have found out, kept for the attempts to come.
        "result": job.result if job.status == "succeeded" else None,
        "error": job.error,
        "waitingFor": _waiting_json(waiting_for),
        "createdAt": rfc3339(job.created_at),
        "runAt": rfc3339(job.run_at),
        "startedAt": rfc3339(job.started_at),
        "finishedAt": rfc3339(job.finished_at),
        "estimatedFinishAt": None,
    }


def _waiting_json(waiting_for: dict[str, Any] | None) -> dict[str, Any] | None:
    if waiting_for and waiting_for.get("at"):
        return {**waiting_for, "at": rfc3339(datetime.fromisoformat(waiting_for["at"]))}
    return waiting_for


def _progress(job: Job, children: dict[str, Any] | None) -> dict[str, Any]:
    """A parent's progress is its children's; any other job's is what its steps report."""
    done, total = job.progress_done, job.progress_total
    if children and children["total"]:
        done, total = children["total"] - children["open"], children["total"]
    percent = round(100 * done / total, 1) if total else (100.0 if job.status == "succeeded" else 0.0)
    return {
        "done": done,
        "total": total,
        "percent": percent,
        "step": job.progress_step,
        "message": job.progress_message,
    }


def _steps(job: Job, rows: list[dict[str, Any]], children: int) -> list[dict[str, Any]]:
    declared: tuple[AnyStep, ...] = ()
    with suppress(UnknownKind):
        declared = kinds.find(job.kind, job.version).steps
    titles = {step.name: step.label(children) for step in declared}
    if not rows:
        rows = [
            {"name": step.name, "status": "pending", "attempt": 0, "started_at": None, "finished_at": None}
            for step in declared
        ]
    return [
        {
            "name": row["name"],
            "title": titles.get(row["name"], row["name"]),
            "status": row["status"],
            "attempt": row["attempt"],
            "startedAt": rfc3339(row["started_at"]),
            "finishedAt": rfc3339(row["finished_at"]),
            "durationMs": row.get("duration_ms"),
            "message": row.get("message"),
        }
        for row in rows
    ]


def events_after(tx: Transaction, job_id: str, after: int, *, limit: int = 200) -> list[dict[str, Any]]:
    """Return a job's events with ids above `after`, oldest first: id, type, data, created_at."""
    return tx.rows(SQL.events, {"id": job_id, "after": after, "limit": limit})


def open_job_of(tx: Transaction, project_id: str) -> str | None:
    """Return the id of the project's running job, or else of its oldest waiting one."""
    found: str | None = tx.value(SQL.open_of_project, {"project": project_id})
    return found


def queues(tx: Transaction) -> list[dict[str, Any]]:
    """Return each queue's depth, running jobs, oldest age in seconds and who paused it."""
    return [
        {
            "name": row["name"],
            "depth": row["depth"],
            "running": row["running"],
            "oldestAgeSeconds": None if row["oldest_age_seconds"] is None else float(row["oldest_age_seconds"]),
            "pausedAt": rfc3339(row["paused_at"]),
            "pausedBy": row["paused_by"],
        }
        for row in tx.rows(SQL.queues)
    ]


def pause_queue(tx: Transaction, name: str, *, by: str) -> bool:
    """Pause a queue, from which nothing more is claimed; return whether there is one of that name."""
    return tx.value(SQL.pause_queue, {"name": name, "by": by}) is not None


def resume_queue(tx: Transaction, name: str) -> bool:
    """Resume a queue; return whether there is one of that name."""
    if tx.value(SQL.resume_queue, {"name": name}) is None:
        return False
    for row in tx.rows(SQL.ring_queue, {"name": name}):
        tx.ring(name, row["id"])
    return True


def workers(tx: Transaction) -> list[dict[str, Any]]:
    """Return the workers that have not signed off."""
    return [
        {
            "name": row["name"],
            "host": row["host"],
            "pid": row["pid"],
            "queues": row["queues"],
            "threads": row["threads"],
            "currentJob": row["current_job"],
            "startedAt": rfc3339(row["started_at"]),
            "lastBeatAt": rfc3339(row["beat_at"]),
        }
        for row in tx.rows(SQL.workers)
    ]


def open_job_counts(tx: Transaction) -> list[dict[str, Any]]:
    """Return how many open jobs of each kind are in each status: for metrics."""
    return tx.rows(SQL.counts)


def last_successes(tx: Transaction) -> list[dict[str, Any]]:
    """Return when each schedule's last job that succeeded ended (None: none has), in epoch seconds: for metrics."""
    return tx.rows(SQL.schedules)
