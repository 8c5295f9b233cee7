"""A job's events as a stream (text/event-stream): each change as it comes, and then the end."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

from flask import Response, request

from app.http.problems import Problem
from app.http.waiting import job_fingerprint
from jobs.engine import view
from jobs.engine.table import FINAL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.http.context import AppContext

# A comment now and then keeps proxies from closing a quiet stream, and tells us when the client has gone.
QUIET_SECONDS = 10.0
# A client that lost a stream this old comes back by itself with Last-Event-ID.
LONGEST_SECONDS = 900.0
BATCH = 200


def event_stream(world: AppContext, job_id: str, owner_id: str) -> Response:
    """Answer with the events after Last-Event-ID; 204 when the job is final and nothing is left to tell.

    owner_id  who watches, and has a share of all that may
    """
    after = _last_seen()
    mark = job_fingerprint(world, job_id)
    if after and mark is not None and mark[0] in FINAL and after >= (mark[2] or 0):
        return Response(status=204)
    if not world.slots.acquire(owner_id):
        headers = {"Retry-After": "5"}
        raise Problem(
            503,
            "too-many-streams",
            "too many of your requests, or of all, wait for jobs; poll, or try again",
            headers=headers,
        )
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    response = Response(_lines(world, job_id, after), content_type="text/event-stream", headers=headers)
    response.call_on_close(lambda: world.slots.release(owner_id))
    return response


def _lines(world: AppContext, job_id: str, after: int) -> Iterator[str]:
    deadline, told, ended = time.monotonic() + LONGEST_SECONDS, time.monotonic(), False
    yield "retry: 1000\n\n"
    with world.changes.watch(job_id) as changed:
        while time.monotonic() < deadline:
            changed.clear()
            mark = job_fingerprint(world, job_id)
            found = _after(world, job_id, after)
            for event in found:
                after = event["id"]
                yield _event(event)
            if found:
                # The end may come between the two looks: then it has been told although the mark is of before.
                ended, told = _ends(found[-1]), time.monotonic()
            if mark is None or (mark[0] in FINAL and after >= (mark[2] or 0)):
                if mark is not None and not ended:
                    yield _last(str(mark[0]))
                return
            if time.monotonic() - told > QUIET_SECONDS:
                told = time.monotonic()
                yield ": quiet\n\n"
            if len(found) < BATCH:
                changed.wait(world.changes.poll_seconds)


def _after(world: AppContext, job_id: str, after: int) -> list[dict[str, Any]]:
    with world.infra.database.autocommit() as tx:
        return view.events_after(tx, job_id, after, limit=BATCH)


def _event(event: dict[str, Any]) -> str:
    data = {**event["data"], "at": view.rfc3339(event["created_at"])}
    return f"id: {event['id']}\nevent: {event['type']}\ndata: {json.dumps(data)}\n\n"


def _last(status: str) -> str:
    return f"event: job\ndata: {json.dumps({'status': status})}\n\n"


def _ends(event: dict[str, Any]) -> bool:
    return event["type"] == "job" and event["data"].get("status") in FINAL


def _last_seen() -> int:
    """Return the id to go on from; what is not an id of ours means from the beginning."""
    given = request.headers.get("Last-Event-ID", "")
    return int(given) if re.fullmatch(r"[0-9]{1,18}", given, re.ASCII) else 0
