"""Finds dead and lapsed workers and passes their jobs on."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from infra.errors import Unavailable
from infra.postgres.sql import statements
from jobs.engine import kind as kinds
from jobs.engine.commands import call_on_failed
from jobs.engine.errors import UnknownKind
from jobs.engine.table import FencedWriter, Job, ReleaseInto

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.settings import Settings
    from infra.postgres.database import Database, Transaction

log = logging.getLogger(__name__)
SQL = statements(__file__)
POISON_CRASHES = 3


class Reaper:
    """Several may run: each take-over is one fenced write, so one of them wins.

    A worker whose lock is free is suspect; it is dead when the lock was still free `suspect_seconds` later, counted
    only while this reaper's own connection lives: a restart of Postgres frees every lock and kills nobody.
    """

    def __init__(self, database: Database, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._suspects: dict[str, float] = {}
        self._connected_at: float | None = None

    @property
    def hurried(self) -> bool:
        """Whether somebody is suspect, so that the next look should come soon."""
        return bool(self._suspects)

    def run_once(self) -> int:
        """Look once; return how many jobs were passed on. Raises Unavailable when Postgres is away."""
        try:
            return self._look()
        except Unavailable:
            self._suspects.clear()
            self._connected_at = None
            raise

    def _look(self) -> int:
        now = self._clock()
        with self._database.autocommit() as tx:
            if self._connected_at is None:
                tx.execute("SELECT 1")
                self._connected_at = self._clock()
            free = {row["name"] for row in tx.rows(SQL.suspects)}
            self._suspects = {name: self._suspects.get(name, now) for name in free}
            lapsed = tx.rows(SQL.lapsed) if self._may_judge_leases(now) else []
        count = 0
        for name in [n for n, since in self._suspects.items() if now - since >= self._settings.suspect_seconds]:
            count += self._bury(name)
        return count + sum(self._pass_on(row["id"], row["fence"]) for row in lapsed)

    def _may_judge_leases(self, now: float) -> bool:
        """After an outage every live worker first gets the time to beat once."""
        settled = self._settings.beat_seconds + self._settings.suspect_seconds
        return self._connected_at is not None and now - self._connected_at >= settled

    def _bury(self, name: str) -> int:
        with self._database.autocommit() as tx:
            buried = tx.execute(SQL.bury, {"name": name})
            held = tx.rows(SQL.held_by, {"name": name})
        self._suspects.pop(name, None)
        if buried:
            log.warning("worker is dead", extra={"worker": name, "jobs": len(held)})
        return sum(self._pass_on(row["id"], row["fence"]) for row in held)

    def _pass_on(self, job_id: str, fence: int) -> int:
        """End what the old attempt left open, then queue the job again; say whether it was ours to do (0 or 1)."""
        with self._database.autocommit() as tx:
            tx.execute(SQL.end_sessions, {"id": job_id, "fence": fence})
        with self._database.transaction() as tx:
            tx.execute("SELECT lock_lane(lane) FROM jobs WHERE id = %(id)s", {"id": job_id})
            job = tx.one(Job, SQL.count_crash, {"id": job_id, "fence": fence})
            if job is None:
                return 0
            log.warning("job passed on", extra={"job_id": job_id, "crashes": job.crashes})
            if job.crashes >= POISON_CRASHES:
                self._poison(tx, job)
            else:
                row = tx.row(SQL.pass_on, {"id": job_id, "fence": fence})
                self._ring(tx, job, row)
        return 1

    def _ring(self, tx: Transaction, job: Job, row: dict[str, Any] | None) -> None:
        tx.ring(job.queue, job.id)
        if row and row["next_id"]:
            tx.ring(row["next_queue"], row["next_id"])

    def _poison(self, tx: Transaction, job: Job) -> None:
        """Three workers died of it: it is not tried again, only undone, and not even that for ever."""
        detail = f"{job.crashes} workers died while they ran this job"
        error = {
            "type": "urn:launchdb:job:poison",
            "title": "The job was given up",
            "detail": detail,
            "step": job.progress_step,
            "retryable": False,
        }
        holder = FencedWriter(job.id, job.fence)
        if not job.undoing and _can_undo(job):
            holder.turn_back(tx, error)
            holder.release(tx, ReleaseInto("queued", refund=True))
            tx.ring(job.queue, job.id)
            return
        call_on_failed(tx, job, detail)
        holder.release(tx, ReleaseInto("failed", error=error))


def _can_undo(job: Job) -> bool:
    try:
        return kinds.find(job.kind, job.version).on_failure == "undo"
    except UnknownKind:
        return False
