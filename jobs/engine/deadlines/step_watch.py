"""Watches the steps that run in this process: each has a deadline, and a cancel reaches one that waits in Postgres.

A step looks at its safe points whether it is to stop. One that waits for Postgres comes to none: a tenant's trigger may
sleep as long as it likes, catch its own cancellation, or hold a lock. Its sessions, which bear the attempt's name, are
ended from outside; what comes of that is told as what it was ended for.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg

from infra.errors import InfraError, Unavailable
from infra.postgres.database import LOCK_NOT_AVAILABLE
from infra.postgres.sql import statements
from jobs.engine.errors import Cancelled, GiveUp, JobError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.composition import Infra
    from jobs.engine.lease import Lease

SQL = statements(__file__)
log = logging.getLogger(__name__)
LOOK_SECONDS = 0.5
# Most steps are over before anybody has to look at them.
UNWATCHED_SECONDS = 1.0
# How long a step that is to stop has for coming to a safe point by itself.
PATIENCE_SECONDS = 2.0
# A step whose sessions are gone, and that is still there: its job goes to another worker.
ABANDONED_SECONDS = 60.0
SESSION = "launchdb-step-watch"


@dataclass
class WatchedStep:
    """A step that runs.

    session     name of its sessions on Postgres
    long        whether its deadline is one that was given to it for its work: then it is not tried again
    stoppable   whether a cancel may stop it
    stopped     what it is to be stopped for; whoever passes a safe point raises it
    holder      login that holds the lock it waits for
    """

    job_id: str
    project_id: str
    session: str
    lease: Lease
    seconds: float
    long: bool
    stoppable: bool
    began: float = field(default_factory=time.monotonic)
    told_at: float | None = None
    stopped: JobError | Unavailable | None = None
    holder: str = ""

    def check(self) -> None:
        """Raise what the step is to be stopped for. Called at each safe point."""
        if self.stopped is None and time.monotonic() - self.began > self.seconds:
            self.stopped = self._overdue()
        if self.stopped is not None:
            raise self.stopped

    def cancel(self) -> None:
        """Have it stopped because somebody asked for that; it first has a while to come to a safe point by itself."""
        now = time.monotonic()
        self.told_at = self.told_at or now
        if self.stopped is None and now - self.told_at > PATIENCE_SECONDS:
            self.stopped = Cancelled(self.job_id)

    def explain(self, error: Exception) -> Exception:
        """Return what a failure of the step comes of: that it was stopped, or a lock that somebody holds."""
        if self.stopped is not None:
            return self.stopped
        if self.holder and _is_lock_timeout(error):
            own = self.project_id and self.holder.startswith(f"{self.project_id}_")
            who = f"a session of the project ({self.holder})" if own else "another session"
            return Unavailable(f"it waits for a lock that {who} holds")
        return error

    def _overdue(self) -> JobError | Unavailable:
        said = f"the step took longer than the {self.seconds:g} s that it is given, and was ended"
        return GiveUp(said) if self.long else Unavailable(said)


class StepWatch:
    """Looks after all steps of this process by one thread, which is there while any of them runs."""

    def __init__(self, infra: Infra) -> None:
        self._infra = infra
        self._steps: list[WatchedStep] = []
        self._lock = threading.Lock()
        self._running = False

    @contextmanager
    def over(self, step: WatchedStep) -> Iterator[None]:
        """Watch a step for the length of this block; what is raised in it says why the step was stopped, if it was."""
        with self._lock:
            self._steps.append(step)
            if not self._running:
                threading.Thread(target=self._run, name="step-watch", daemon=True).start()
                self._running = True
        try:
            yield
        except Exception as error:
            explained = error if isinstance(error, JobError) else step.explain(error)
            if explained is error:
                raise
            raise explained from error
        finally:
            with self._lock:
                self._steps.remove(step)

    def _run(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            with self._lock:
                if not self._steps:
                    self._running = False
                    return
                now = time.monotonic()
                steps = [step for step in self._steps if now - step.began > UNWATCHED_SECONDS]
            if steps:
                try:
                    self._look(steps)
                except (InfraError, psycopg.Error):
                    log.info("running steps were not looked at")

    def _look(self, steps: list[WatchedStep]) -> None:
        stoppable = [step for step in steps if step.stoppable]
        with self._infra.database.autocommit() as tx:
            cancelling = {row["id"] for row in tx.rows(SQL.cancelling, {"ids": [step.job_id for step in stoppable]})}
        for step in stoppable:
            if step.job_id in cancelling:
                step.cancel()
        with self._infra.databases.cluster.session(SESSION) as admin:
            holders = dict(admin.execute(SQL.blockers, {"sessions": [step.session for step in steps]}).fetchall())
            for step in steps:
                step.holder = holders.get(step.session, step.holder)
                if _is_to_stop(step):
                    admin.execute(SQL.end_sessions, {"session": step.session})
                    self._abandon_at_last(step)

    def _abandon_at_last(self, step: WatchedStep) -> None:
        step.told_at = step.told_at or time.monotonic()
        if time.monotonic() - step.told_at > ABANDONED_SECONDS and not step.lease.lost.is_set():
            log.error("a step cannot be stopped; its job goes to another worker", extra={"job_id": step.job_id})
            step.lease.lost.set()


def _is_to_stop(step: WatchedStep) -> bool:
    try:
        step.check()
    except (JobError, Unavailable):
        return True
    return False


def _is_lock_timeout(error: BaseException) -> bool:
    cause = error if isinstance(error, psycopg.Error) else error.__cause__
    return isinstance(cause, psycopg.Error) and cause.sqlstate == LOCK_NOT_AVAILABLE
