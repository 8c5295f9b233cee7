"""A claimed job: its fenced writes, its safe points, how far it has come; and what all jobs of a process share."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from infra.errors import Unavailable
from jobs.engine import kind as kinds
from jobs.engine import table
from jobs.engine.crash import CrashPoint
from jobs.engine.deadlines.step_watch import StepWatch, WatchedStep
from jobs.engine.enqueue import enqueue
from jobs.engine.errors import Cancelled, HandedBack, LeaseLost
from jobs.engine.kind import Step, former_steps
from jobs.engine.ledger import Ledger
from jobs.engine.run import AtomicRun, Run
from jobs.engine.table import FencedWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from infra.composition import Infra
    from infra.postgres.database import Transaction
    from jobs.engine.crash import Point
    from jobs.engine.kind import AnyStep, Kind
    from jobs.engine.lease import Lease
    from jobs.engine.table import Job

log = logging.getLogger(__name__)
INSIST_PAUSE_SECONDS = 0.2
# Longer than any restart of Postgres; the fence decides whether there is anything left to write by then.
INSIST_SECONDS = 600.0
PROGRESS_SECONDS = 0.5


class EngineContext:
    """What all jobs share that one process carries.

    losses    how often the worker has lost its liveness session: what fails beside such a loss costs no attempt
    scrub     takes secrets out of a text
    clock     seconds that only go up; `sleep` waits so many
    random    for jitter
    crash     where the process is to die, in tests
    stopping  whether the worker was asked to leave
    watch     what ends a step that cannot end itself
    """

    def __init__(
        self,
        infra: Infra,
        *,
        losses: Callable[[], int],
        scrub: Callable[[str], str],
        clock: Callable[[], float],
        sleep: Callable[[float], object],
        random: Random,
    ) -> None:
        self.infra = infra
        self.losses = losses
        self.scrub = scrub
        self.clock = clock
        self.sleep = sleep
        self.random = random
        self.crash = CrashPoint(infra.settings.crash)
        self.stopping = False
        self.watch = StepWatch(infra)

    def changed(self, job_id: str) -> None:
        """Tell watchers."""
        self.infra.doorbell.changed(job_id)

    def finished(self, job: Job, status: str) -> None:
        """Announce that a job has come to rest."""
        log.info("job finished", extra={"kind": job.kind, "status": status})
        self.changed(job.id)


class ClaimedJob:
    """What an attempt may do to its own job, and no longer than it holds it.

    fenced       the writes that name the fence
    step         the step at hand
    undoing      whether the way leads back
    past_return  whether a cancel comes too late
    kept         what the steps so far report, as it is written down
    """

    def __init__(self, engine: EngineContext, job: Job, lease: Lease, kind: Kind) -> None:
        self.fenced = FencedWriter(job.id, job.fence)
        self.step = ""
        self.undoing = job.undoing
        self.past_return = job.past_return
        self.kept = job.result or {}
        self._engine = engine
        self._database = engine.infra.database
        self._job = job
        self._lease = lease
        self._kind = kind
        self._told_at = 0.0
        self._watched: WatchedStep | None = None

    def run(self) -> Run[Any]:
        """Return the job as its outside steps see it."""
        job, database = self._job, self._database
        return Run(
            args=kinds.from_json(self._kind, job.args),
            job_id=job.id,
            kind=job.kind,
            fence=job.fence,
            infra=self._engine.infra,
            ledger=Ledger(database, job_id=job.id, project_id=job.project_id or "", fence=job.fence),
            result=deepcopy(self.kept),
            _check=self.check,
            _log=self.log_event,
            _progress=self.report_progress,
            _transaction=self.transaction,
        )

    def atomic_run(self, run: Run[Any]) -> AtomicRun[Any]:
        """Return the same job as its atomic steps see it; what either reports is one."""
        return AtomicRun(run.args, run.job_id, run.kind, run.infra.settings, run.result, self.spawn)

    @property
    def expired(self) -> bool:
        """Whether this worker must consider the job another's, by its own clock."""
        return self._lease.expired(self._engine.clock())

    def check(self) -> None:
        """Pass a safe point. Raises LeaseLost, HandedBack when the worker leaves during a long step, or Cancelled."""
        if self.expired:
            raise LeaseLost(self._job.id)
        if self._watched is not None:
            self._watched.check()
        step = self._kind.step(self.step) if self.step else None
        if self._engine.stopping and isinstance(step, Step) and step.long:
            raise HandedBack(self._job.id)
        with self._database.autocommit() as tx:
            status = self.fenced.read_status(tx)
        if status == "cancelling" and not self.past_return and not self.undoing:
            raise Cancelled(self._job.id)

    @contextmanager
    def watched(self, step: AnyStep, session: str) -> Iterator[None]:
        """Hold a step, or its undoing, to its deadline for the length of this block, and to a cancel wherever it waits.

        session  name of its sessions on Postgres

        Raises Cancelled, Unavailable when it took longer than it is given, or GiveUp when that was hours.
        """
        self._watched = WatchedStep(
            *(self._job.id, self._job.project_id or "", session, self._lease, step.deadline_seconds),
            long=isinstance(step, Step) and step.long,
            stoppable=not (self.past_return or self.undoing),
        )
        try:
            with self._engine.watch.over(self._watched):
                yield
        finally:
            self._watched = None

    def log_event(self, message: str) -> None:
        """Add a line to the job's events. Raises LeaseLost."""
        with self._database.autocommit() as tx:
            self.fenced.add_event(tx, self._engine.scrub(message))
        self._engine.changed(self._job.id)

    def report_progress(self, done: int, total: int, message: str) -> None:
        """Report real work, at most twice a second. Raises LeaseLost."""
        now = self._engine.clock()
        if now - self._told_at < PROGRESS_SECONDS and done < total:
            return
        self._told_at = now
        with self._database.autocommit() as tx:
            self.fenced.report_progress(tx, done, total, self._engine.scrub(message))
        self._engine.changed(self._job.id)

    def keep_result(self, tx: Transaction, result: dict[str, Any]) -> None:
        """Write down what the steps so far report: a new attempt need not do them again to find out."""
        if result != self.kept:
            self.fenced.keep_result(tx, result)
            self.kept = deepcopy(result)

    def steps_so_far(self, tx: Transaction) -> dict[str, str]:
        """Return what became of each step in earlier attempts, by today's names, whichever version made them."""
        status = {row["name"]: row["status"] for row in table.steps(tx, self._job.id)}
        names = [step.name for step in self._kind.steps]
        if status.keys() >= set(names):
            return status
        self.fenced.pin_steps(tx, names, former_steps(self._kind.name_and_version))
        return {row["name"]: row["status"] for row in table.steps(tx, self._job.id)}

    def spawn(self, tx: Transaction, arguments: Any) -> str:
        """Enqueue a child of this job; return its id."""
        job = self._job
        return enqueue(
            tx, arguments, by=job.created_by, owner_id=job.owner_id, request_id=job.request_id, parent_id=job.id
        ).id

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Open a transaction that commits only while the job is held. Raises LeaseLost."""
        with self._database.transaction() as tx:
            yield tx
            self.fenced.read_status(tx)

    def write_persistently(self, write: Callable[[Transaction], None]) -> None:
        """Write, while Postgres is away and back; stop when the lease turns out to be lost."""
        deadline = self._engine.clock() + INSIST_SECONDS
        while self._engine.clock() < deadline:
            try:
                with self._database.transaction() as tx:
                    write(tx)
            except LeaseLost:
                log.warning("lease lost, nothing written")
                return
            except Unavailable:
                self._engine.sleep(INSIST_PAUSE_SECONDS)
            else:
                return

    def reach_crash_point(self, point: Point) -> None:
        """Die here if this is the crash point."""
        step = f"undo-{self.step}" if self.undoing else self.step
        self._engine.crash.die_if_reached(self._kind.name, step, point)
