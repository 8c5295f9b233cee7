"""What the platform finds wrong with itself, for operators; what only the machine can tell, `launchdb doctor` says."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from app.http.models import EmptyBody
from app.http.routing import Call, Routes, ViewResponse
from app.platform.operations.answers_operator import DoctorOut, FixOut
from app.server.shares import FIGURES
from jobs.engine.view import job_json
from jobs.requests import doctor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.postgres.database import Transaction

routes = Routes("doctor")


@routes.get("/api/admin/doctor", who="operator", answers={200: DoctorOut})
def run_checks(call: Call) -> ViewResponse:
    """Runs every check that needs no look at the machine: each finding with its evidence and its remedy."""
    with call.world.infra.database.autocommit() as tx:
        found = doctor.run_checks(tx, call.world.settings)
    found += _limited()
    return ViewResponse({"findings": [asdict(one) for one in found]}, headers={"Cache-Control": "no-store"})


@routes.change(
    "POST", "/api/admin/doctor/<check>/fix", action="doctor.fix", who="operator", body=EmptyBody,
    answers={202: FixOut, 200: FixOut},
)  # fmt: skip
def fix(call: Call, tx: Transaction, check: str) -> ViewResponse:
    """Begins the jobs that mend what a check finds, one for each project; 200 with none when all is well."""
    begun = doctor.fix(tx, check, by=call.owner_id, request_id=call.request_id)
    headers = {"Location": f"/api/jobs/{begun[0].id}", "Retry-After": "1"} if begun else {}
    body = {"jobs": [job_json(tx, job) for job in begun]}
    return ViewResponse(body, 202 if begun else 200, headers, told={"check": check, "jobs": len(begun)})


def _limited() -> Iterator[doctor.PlatformFinding]:
    """Name whose requests this process has refused lately, because a share of its threads was used up."""
    since = time.time() - doctor.RECENT_MINUTES * 60
    found = [(lane, count) for lane, (count, at) in list(FIGURES.last.items()) if at > since]
    for lane, count in found[-doctor.MOST_NAMED :]:
        subject = lane.key if lane.kind == "project" else ""
        said = f"{lane.kind} {lane.key}: {count} requests were refused, as its share of the API's threads was used up"
        remedy = "its owner sends fewer at a time or makes them faster; or raise LAUNCHDB_API_THREADS"
        yield doctor.PlatformFinding("shares", "warning", said, remedy, subject=subject)
    if not found:
        yield doctor.PlatformFinding("shares", "ok", f"nobody was refused for {doctor.RECENT_MINUTES} minutes")
