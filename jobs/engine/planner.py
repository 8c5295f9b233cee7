"""Turns schedules into jobs: every slot fires once, whoever plans; what was missed is caught up as the policy says."""

from __future__ import annotations

import logging
import zlib
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from infra.postgres.sql import statements
from jobs.engine import kind as kinds
from jobs.engine.commands import JobConflict, cancel
from jobs.engine.cron import slots
from jobs.engine.enqueue import enqueue
from jobs.engine.errors import UnknownKind
from jobs.engine.schedules import declare

if TYPE_CHECKING:
    from infra.postgres.database import Database, Transaction

log = logging.getLogger(__name__)
SQL = statements(__file__)
# A schedule that was off for a year with catch_up = 'all' is caught up in bounded batches.
MOST_SLOTS = 100


class SchedulePlanner:
    """Several may run: the row of a slot can be written once. Time is the database's."""

    def __init__(self, database: Database, *, offsite: bool = False) -> None:
        """Name the database. offsite: whether there is another machine to copy backups to."""
        self._database = database
        self._offsite = offsite
        self._declared = False

    def run_once(self) -> int:
        """Fire what is due; return how many jobs were enqueued. Raises Unavailable when Postgres is away."""
        with self._database.autocommit() as tx:
            rows = tx.rows(SQL.enabled)
        return sum(self._plan(row) for row in rows)

    def run_declared(self) -> int:
        """Fire what is due once the defaults are declared. Raises Unavailable when Postgres is away."""
        if not self._declared:
            with self._database.transaction() as tx:
                declare(tx, offsite=self._offsite)
            self._declared = True
        return self.run_once()

    def _plan(self, schedule: dict[str, Any]) -> int:
        due = due_slots(schedule)
        fired = 0
        for slot, fires in due:
            with self._database.transaction() as tx:
                taken = tx.execute(SQL.take_slot, {"schedule": schedule["name"], "slot": slot})
                if taken and fires:
                    fired += self._fire(tx, schedule, slot)
        return fired

    def _fire(self, tx: Transaction, schedule: dict[str, Any], slot: datetime) -> int:
        by = f"schedule:{schedule['name']}"
        open_jobs = tx.rows(SQL.open_jobs, {"by": by})
        if open_jobs and schedule["overlap"] == "skip":
            log.info("slot skipped, the last one still runs", extra={"schedule": schedule["name"]})
            return 0
        if schedule["overlap"] == "replace":
            for earlier in open_jobs:
                _stop(tx, earlier["id"], schedule["name"])
        try:
            declared = kinds.newest(schedule["kind"])
        except UnknownKind:
            log.warning("schedule names an unknown kind", extra={"schedule": schedule["name"]})
            return 0
        arguments = kinds.from_json(declared, schedule["args"])
        job = enqueue(tx, arguments, by=by, run_at=slot + jitter(schedule, slot))
        tx.execute(SQL.note_job, {"schedule": schedule["name"], "slot": slot, "job": job.id})
        return 1


def due_slots(schedule: dict[str, Any]) -> list[tuple[datetime, bool]]:
    """Return the slots since the last one, oldest first, each with whether the catch-up policy lets it fire.

    skip: only a slot of the last minute fires; latest: the newest one does, however late; all: every one does.
    Slots that do not fire are still taken, so that no other planner comes to another conclusion.
    """
    found: list[datetime] = []
    for slot in slots(schedule["cron"], schedule["timezone"], schedule["last_slot"], schedule["now"]):
        found.append(slot)
        if schedule["catch_up"] == "all" and len(found) == MOST_SLOTS:
            break
    if schedule["catch_up"] == "all":
        return [(slot, True) for slot in found]
    # What is passed over needs no rows of its own: the newest slot says how far planning has come.
    fresh = [slot for slot in found if schedule["now"] - slot <= timedelta(minutes=1)]
    return [(found[-1], schedule["catch_up"] == "latest" or bool(fresh))] if found else []


def jitter(schedule: dict[str, Any], slot: datetime) -> timedelta:
    """Return this slot's delay: spread over the schedule's jitter, the same for whoever computes it."""
    if not schedule["jitter_seconds"]:
        return timedelta()
    seed = zlib.crc32(f"{schedule['name']}@{slot.isoformat()}".encode())
    return timedelta(seconds=seed % schedule["jitter_seconds"])


def _stop(tx: Transaction, job_id: str, schedule: str) -> None:
    try:
        cancel(tx, job_id, by=f"schedule:{schedule}")
    except JobConflict:
        log.info("the last slot's job can no longer be stopped", extra={"schedule": schedule, "job_id": job_id})
