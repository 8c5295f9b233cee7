"""Schedules as operators see and change them: when each fires next, what became of the last, and firing one by hand."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from config.schedules import DEFAULTS, OFFSITE
from infra.postgres.sql import statements
from jobs.engine import cron
from jobs.engine import kind as kinds
from jobs.engine.enqueue import enqueue
from jobs.engine.errors import UnknownKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.postgres.database import Transaction
    from jobs.engine.table import Job

SQL = statements(__file__)
NEXT = 3
# No valid schedule lies idle longer (29 February, on one weekday).
HORIZON = timedelta(days=366 * 41)
UNSERVED = "no worker serves this kind yet; the time is kept for it"


class ScheduleNotFound(Exception):
    """There is no such schedule."""


class ScheduleUnserved(Exception):
    """The schedule's kind is one that this program does not have."""


class ScheduleRefused(Exception):
    """The times cannot be used; pointer names the member, the message says why."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.pointer = pointer


def declare(tx: Transaction, *, offsite: bool) -> None:
    """Write the default schedules; those that an operator has changed stay as they are.

    offsite  whether there is another machine to copy backups to
    """
    for default in DEFAULTS:
        enabled = default.enabled and (offsite or default.kind != OFFSITE)
        tx.execute(SQL.declare, {**asdict(default), "enabled": enabled})


def list_schedules(tx: Transaction, name: str | None = None) -> list[dict[str, Any]]:
    """Return all schedules, or the one of that name: the row's columns, `next` and `reason`."""
    return [_told(row) for row in tx.rows(SQL.list, {"name": name})]


def show_schedule(tx: Transaction, name: str) -> dict[str, Any]:
    """Return one schedule as `listing` does. Raises ScheduleNotFound."""
    found = list_schedules(tx, name)
    if "\0" in name or not found:
        raise ScheduleNotFound(f"there is no schedule {name!a}")
    return found[0]


def change(tx: Transaction, name: str, given: Mapping[str, Any]) -> None:
    """Change `cron`, `timezone` or `enabled`; what is left out stays.

    Raises ScheduleNotFound, ScheduleRefused, ScheduleUnserved.
    """
    row = _found(tx, name)
    wanted = {**row, **given}
    try:
        cron.zone(wanted["timezone"])
    except cron.BadSchedule as error:
        raise ScheduleRefused("/timezone", str(error)) from error
    try:
        cron.check(wanted["cron"], wanted["timezone"])
    except cron.BadSchedule as error:
        raise ScheduleRefused("/cron", str(error)) from error
    if given.get("enabled") and not _served(row["kind"]):
        raise ScheduleUnserved(UNSERVED)
    tx.execute(SQL.change, wanted)


def run_now(tx: Transaction, name: str, *, by: str, request_id: str | None = None) -> Job:
    """Begin a schedule's job at once, enabled or not. Raises ScheduleNotFound, ScheduleUnserved."""
    row = _found(tx, name)
    if not _served(row["kind"]):
        raise ScheduleUnserved(UNSERVED)
    arguments = kinds.from_json(kinds.newest(row["kind"]), row["args"])
    job = enqueue(tx, arguments, by=by, request_id=request_id)
    tx.execute(SQL.asked, {"name": name, "job": job.id})
    return job


def _found(tx: Transaction, name: str) -> dict[str, Any]:
    row = None if "\0" in name else tx.row(SQL.find, {"name": name})
    if row is None:
        raise ScheduleNotFound(f"there is no schedule {name!a}")
    return row


def _told(row: dict[str, Any]) -> dict[str, Any]:
    coming = cron.slots(row["cron"], row["timezone"], row["now"], row["now"] + HORIZON)
    served = _served(row["kind"])
    return {
        **row,
        "next": list(islice(coming, NEXT)) if row["enabled"] and served else [],
        "reason": None if served else UNSERVED,
    }


def _served(kind: str) -> bool:
    try:
        kinds.newest(kind)
    except UnknownKind:
        return False
    return True
