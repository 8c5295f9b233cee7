"""Schedules as operators see, change and fire them; to everybody else none of this is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.http import waiting
from app.http.answers import AcceptedOut
from app.http.models import EmptyBody
from app.http.routing import Call, Routes, ViewResponse
from app.platform.operations.answers_operator import ScheduleOut, SchedulesOut
from app.platform.operations.models_operator import ScheduleChanges
from jobs.engine import schedules
from jobs.engine.view import job_json, rfc3339

if TYPE_CHECKING:
    from infra.postgres.database import Transaction

routes = Routes("schedules")


def run_response(_call: Call, _tx: Transaction, answer: ViewResponse) -> ViewResponse:
    """Make the answer of a job that the client waited for."""
    return ViewResponse({"job": (answer.body or {})["job"]}, 200, answer.headers, answer.job_id)


@routes.get("/api/admin/schedules", who="operator", answers={200: SchedulesOut})
def list_schedules(call: Call) -> ViewResponse:
    """Lists what happens by itself: the next three times of each, and what became of the last."""
    with call.world.infra.database.autocommit() as tx:
        return ViewResponse({"schedules": [_shown(row) for row in schedules.list_schedules(tx)]})


@routes.change(
    "PATCH", "/api/admin/schedules/<schedule>", action="schedule.update", who="operator", body=ScheduleChanges,
    answers={200: ScheduleOut},
)  # fmt: skip
def update(call: Call, tx: Transaction, schedule: str) -> ViewResponse:
    """Changes when a schedule fires, and whether it does; it counts from now on."""
    given = call.body.model_dump(include=call.body.model_fields_set)
    schedules.change(tx, schedule, given)
    return ViewResponse(_shown(schedules.show_schedule(tx, schedule)), told=given)


@routes.change(
    "POST", "/api/admin/schedules/<schedule>/run", action="schedule.run", who="operator",
    body=EmptyBody, final=run_response,
    answers={202: AcceptedOut, 200: AcceptedOut},
)  # fmt: skip
def run(call: Call, tx: Transaction, schedule: str) -> ViewResponse:
    """Begins a schedule's job at once, whenever its next time is."""
    job = schedules.run_now(tx, schedule, by=call.owner_id, request_id=call.request_id)
    return waiting.accepted_response(job_json(tx, job))


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    last = row["job_id"] and {
        "id": row["job_id"],
        "status": row["job_status"],
        "finishedAt": rfc3339(row["job_finished_at"]),
    }
    return {
        "name": row["name"],
        "kind": row["kind"],
        "cron": row["cron"],
        "timezone": row["timezone"],
        "enabled": row["enabled"],
        "catchUp": row["catch_up"],
        "jitterSeconds": row["jitter_seconds"],
        "overlap": row["overlap"],
        "next": [rfc3339(moment) for moment in row["next"]],
        "lastSlot": rfc3339(row["last_slot"]),
        "lastJob": last,
        "reason": row["reason"],
    }
