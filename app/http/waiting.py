"""Waits for jobs: until one is final, or until it changes."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from flask import request

from app.http.routing import ViewResponse
from infra.postgres.sql import statements
from jobs.engine import view
from jobs.engine.table import FINAL

if TYPE_CHECKING:
    from app.http.context import AppContext
    from app.http.routing import Call, Operation
    from infra.postgres.database import Transaction

SQL = statements(__file__)
LONGEST_SECONDS = 60
RETRY_AFTER = {"Retry-After": "1"}
_WAIT = re.compile(r"\bwait\s*=\s*\"?([0-9]{1,6})\"?(?=\s*(?:[,;]|$))", re.ASCII | re.IGNORECASE)


def preferred_seconds() -> int | None:
    """Return the seconds that `Prefer: wait=N` asks for, 60 at most (RFC 7240); None when it does not."""
    found = _WAIT.search(", ".join(request.headers.getlist("Prefer")))
    return None if found is None else min(LONGEST_SECONDS, int(found[1]))


def until_changed(call: Call, job_id: str, seconds: float, seen: Any) -> None:
    """Return when the job's fingerprint is another than `seen`, when it is final, or after so many seconds."""
    deadline, world = time.monotonic() + seconds, call.world
    with world.slots.hold(call.owner_id) as held, world.changes.watch(job_id) as changed:
        while held and (left := deadline - time.monotonic()) > 0:
            changed.clear()
            mark = job_fingerprint(world, job_id)
            if mark is None or mark != seen or mark[0] in FINAL:
                return
            changed.wait(min(left, world.changes.poll_seconds))


def job_fingerprint(world: AppContext, job_id: str) -> tuple[Any, ...] | None:
    """Return what differs after each change of a job, its status first; None when there is no such job."""
    with world.infra.database.autocommit() as tx:
        row = tx.row(SQL.fingerprint, {"id": job_id})
    return None if row is None else (row["status"], row["updated_at"], row["event"])


def wait_as_preferred(operation: Operation, call: Call, answer: ViewResponse) -> ViewResponse:
    """Honour `Prefer: wait=N` for an answer that began a job: its end, if it comes within N seconds."""
    seconds = preferred_seconds()
    if answer.job_id is None or answer.status != 202 or seconds is None:
        return answer
    ended = _until_final(call, answer.job_id, seconds)
    if ended is None:
        return answer
    if not ended:
        return _with(answer, headers={**answer.headers, "Preference-Applied": f"wait={seconds}"})
    with call.world.infra.database.autocommit() as tx:
        last = _ended(operation, call, tx, answer)
    return _with(last, headers={**last.headers, "Preference-Applied": f"wait={seconds}"})


def accepted_response(job: dict[str, Any], **members: Any) -> ViewResponse:
    """Return the answer of work that was begun: 202 with where to look."""
    headers = {"Location": f"/api/jobs/{job['id']}", **RETRY_AFTER}
    return ViewResponse({**members, "job": job}, 202, headers, job_id=job["id"], project_id=job["projectId"])


def _until_final(call: Call, job_id: str, seconds: float) -> bool | None:
    """Return whether the job came to its end in time; None when too many wait already."""
    deadline, world = time.monotonic() + seconds, call.world
    with world.slots.hold(call.owner_id) as held, world.changes.watch(job_id) as changed:
        while held:
            changed.clear()
            mark = job_fingerprint(world, job_id)
            if mark is None or mark[0] in FINAL:
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                break
            changed.wait(min(left, world.changes.poll_seconds))
    return False if held else None


def _ended(operation: Operation, call: Call, tx: Transaction, answer: ViewResponse) -> ViewResponse:
    job = view.show_job(tx, str(answer.job_id))
    kept = {name: value for name, value in answer.headers.items() if name == "Idempotency-Replayed"}
    ended = ViewResponse({**(answer.body or {}), "job": job}, 200, kept, answer.job_id, answer.project_id, answer.once)
    if job["status"] != "succeeded" or operation.final is None:
        return ended
    return operation.final(call, tx, ended)


def _with(answer: ViewResponse, *, headers: dict[str, str]) -> ViewResponse:
    return ViewResponse(
        answer.body, answer.status, headers, answer.job_id, answer.project_id, answer.once, answer.version
    )
