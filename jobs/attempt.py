"""One attempt at one job: forward through its steps, or back through them, to its next resting place."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from infra.errors import Refused, Unavailable
from jobs import kind as kinds
from jobs import table
from jobs.backoff import delay_seconds
from jobs.commands import say_failed
from jobs.enqueue import enqueue
from jobs.errors import Cancelled, GiveUp, HandedBack, JobError, LeaseLost, Parked
from jobs.ledger import Ledger
from jobs.run import Run
from jobs.table import Begins, Ended, Holder, Release

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.database import Transaction
    from jobs.crash import Point
    from jobs.lease import Lease
    from jobs.runner import Runner
    from jobs.table import Job

log = logging.getLogger(__name__)
PERSIST_PAUSE_SECONDS = 0.2
PERSIST_SECONDS = 600.0
PROGRESS_SECONDS = 0.5


class Attempt:
    """Carries a claimed job to its next resting place. Whatever happens, `carry` does not raise."""

    def __init__(self, runner: Runner, job: Job, lease: Lease) -> None:
        self._runner = runner
        self._database = runner.infra.database
        self._job = job
        self._lease = lease
        self._holder = Holder(job.id, job.fence)
        self._kind = kinds.find(job.kind, job.version)
        self._losses = runner.losses()
        self._told_at = 0.0
        self._pending: Ended | None = None
        self._finished = False
        self._step = ""
        self._past_return = job.past_return
        self._undoing = job.undoing
        self._status: dict[str, str] = {}
        self._run: Run[Any] = Run(
            args=kinds.from_json(self._kind, job.args),
            job_id=job.id,
            fence=job.fence,
            infra=runner.infra,
            ledger=Ledger(self._database, job_id=job.id, project_id=job.project_id or "", fence=job.fence),
            result={},
            _check=self._check,
            _log=self._tell,
            _progress=self._progress,
            _transaction=self._transaction,
            _spawn=self._spawn,
        )

    def carry(self) -> None:
        """Run the job until it rests."""
        try:
            self._walk()
        except LeaseLost:
            # The row decides: when nobody has taken the job yet, this gives it back; otherwise it changes nothing.
            self._persist(Release("queued", refund=True))
        except HandedBack:
            self._persist(Release("queued", refund=True))
        except Parked:
            self._runner.changed(self._job.id)
        except Exception as error:  # noqa: BLE001 - the one place where every failure of a step ends
            self._fail(error)

    def _walk(self) -> None:
        if self._job.fence > 1:
            with self._database.autocommit() as tx:
                self._status = {row["name"]: row["status"] for row in table.steps(tx, self._job.id)}
        if not self._undoing:
            try:
                self._heed_cancel()
                self._forward()
            except Cancelled:
                self._turn_back(None)
            else:
                return
        self._back()

    # --- forward

    def _forward(self) -> None:
        for step in self._kind.steps:
            if self._status.get(step.name) in ("succeeded", "skipped"):
                self._look_again(step)
                continue
            self._begin(step)
            if step.joins:
                self._join()
            self._pass("before_act")
            if step.atomic:
                self._act_atomically(step)
                continue
            step.act(self._run)
            self._pass("after_act")
            self._pending = self._ended(step)
            self._pass("before_checkpoint")
        if not self._finished:
            self._finish()

    def _heed_cancel(self) -> None:
        """A worker may have died between the request and its safe point: the request still stands."""
        if self._job.cancel_requested_at is not None and not self._past_return:
            raise Cancelled(self._job.id)

    def _begin(self, step: kinds.Step) -> None:
        """Write the checkpoint of the step before and the beginning of this one, in one statement."""
        if self._runner.stopping:
            raise HandedBack(self._job.id)
        if self._lease.expired(self._runner.clock()):
            raise LeaseLost(self._job.id)
        with self._database.autocommit() as tx:
            goes_on = self._holder.advance(tx, self._pending, Begins(step.name, step.no_return))
        self._settled()
        if not goes_on:
            raise Cancelled(self._job.id)
        self._step = self._run.ledger.step = step.name
        self._past_return = self._past_return or step.no_return
        self._runner.changed(self._job.id)

    def _join(self) -> None:
        """Leave the slot while children are open. The step counts as begun and is begun again when they rest."""
        with self._database.transaction() as tx:
            parked = self._holder.park(tx)
        if parked:
            raise Parked(self._job.id)
        self._check()

    def _look_again(self, step: kinds.Step) -> None:
        """A finished outside step looks at the world anew: what has vanished since is made again."""
        self._step = self._run.ledger.step = step.name
        if not step.atomic:
            self._check()
            step.act(self._run)

    def _act_atomically(self, step: kinds.Step) -> None:
        ended = self._ended(step)
        last = step is self._kind.steps[-1]
        with self._database.transaction() as tx:
            step.act(self._run, tx)
            self._pass("after_act")
            if last:
                self._holder.release(tx, Release("succeeded", result=self._run.result), ended)
            else:
                self._holder.advance(tx, ended, None)
            self._pass("before_checkpoint")
        self._pass("after_checkpoint")
        self._finished = last
        if last:
            self._runner.finished(self._job, "succeeded")

    def _finish(self) -> None:
        with self._database.autocommit() as tx:
            self._holder.release(tx, Release("succeeded", result=self._run.result), self._pending)
        self._settled()
        self._runner.finished(self._job, "succeeded")

    def _ended(self, step: kinds.Step) -> Ended:
        steps = self._kind.steps
        return Ended(step.name, "succeeded", done=steps.index(step) + 1, total=len(steps))

    def _settled(self) -> None:
        if self._pending is not None:
            self._pending = None
            self._pass("after_checkpoint")

    # --- back

    def _turn_back(self, error: dict[str, Any] | None) -> None:
        with self._database.autocommit() as tx:
            self._holder.turn_back(tx, error)
            self._status = {row["name"]: row["status"] for row in table.steps(tx, self._job.id)}
            self._job = table.find(tx, self._job.id) or self._job
        self._undoing = True

    def _back(self) -> None:
        """Undo every step that was begun, newest first, then come to rest as cancelled or failed."""
        job = self._reread()
        if self._kind.on_failure == "undo" and not job.superseded:
            for step in reversed(self._kind.steps):
                if step.undo is not None and self._status.get(step.name, "pending") not in ("pending", "undone"):
                    self._undo(step)
        final = "cancelled" if job.cancel_requested_at is not None else "failed"
        detail = str((job.error or {}).get("detail") or job.cancel_reason or final)
        with self._database.transaction() as tx:
            say_failed(tx, job, detail)
            self._holder.release(tx, Release(final))
        self._runner.finished(job, final)

    def _undo(self, step: kinds.Step) -> None:
        self._step = self._run.ledger.step = step.name
        self._check()
        self._pass("before_act")
        if step.undo is not None:
            step.undo(self._run)
        self._pass("after_act")
        with self._database.autocommit() as tx:
            self._holder.advance(tx, Ended(step.name, "undone"), None)
        self._pass("after_checkpoint")

    def _reread(self) -> Job:
        with self._database.autocommit() as tx:
            self._holder.look(tx)
            return table.find(tx, self._job.id) or self._job

    # --- failure

    def _fail(self, error: Exception) -> None:
        interrupted = self._runner.losses() != self._losses and _is_transient(error)
        permanent = isinstance(error, (GiveUp, Refused))
        worn_out = self._job.attempt >= self._job.max_attempts and not interrupted
        described = self._describe(error, retryable=not permanent)
        if not (permanent or worn_out):
            delay = 0.0 if interrupted else delay_seconds(self._job.attempt, self._runner.random)
            log.info("attempt failed", extra={"step": self._step, "error": described["detail"], "delay": delay})
            self._persist(Release("retrying", delay_seconds=delay, refund=interrupted, error=described))
            return
        log.error("job given up", extra={"step": self._step, "error": described["detail"]}, exc_info=error)
        if self._undoing:
            described["detail"] = f"undoing did not succeed: {described['detail']}"
            self._rest_as_failed(described)
            return
        self._give_up(described)

    def _give_up(self, described: dict[str, Any]) -> None:
        """Begin the kind's failure policy; a failure on that way is a failed attempt at undoing."""
        try:
            self._mark_step_failed(described)
            self._turn_back(described)
            self._back()
        except (LeaseLost, HandedBack):
            self._persist(Release("queued", refund=True))
        except Exception as error:  # noqa: BLE001 - undoing is tried again like any step
            self._fail(error)

    def _mark_step_failed(self, described: dict[str, Any]) -> None:
        if not self._step:
            return
        with self._database.autocommit() as tx:
            self._holder.advance(tx, Ended(self._step, "failed", message=str(described["detail"])), None)

    def _rest_as_failed(self, described: dict[str, Any]) -> None:
        def write(tx: Transaction) -> None:
            say_failed(tx, self._job, str(described["detail"]))
            self._holder.release(tx, Release("failed", error=described))

        self._insist(write)
        self._runner.finished(self._job, "failed")

    def _describe(self, error: Exception, *, retryable: bool) -> dict[str, Any]:
        return {
            "type": f"urn:launchdb:job:{type(error).__name__.lower()}",
            "title": "The step could not be done" if self._step else "The job could not be run",
            "detail": describe(error),
            "step": self._step or None,
            "retryable": retryable,
        }

    def _persist(self, into: Release) -> None:
        self._insist(lambda tx: self._holder.release(tx, into, self._pending))
        self._runner.changed(self._job.id)

    def _insist(self, write: Any) -> None:
        """Write while Postgres is away and back; stop when the lease turns out to be lost."""
        deadline = time.monotonic() + PERSIST_SECONDS
        while time.monotonic() < deadline:
            try:
                with self._database.transaction() as tx:
                    write(tx)
            except LeaseLost:
                log.warning("lease lost, nothing written")
                return
            except Unavailable:
                time.sleep(PERSIST_PAUSE_SECONDS)
            else:
                return

    # --- what the run is given

    def _check(self) -> None:
        if self._lease.expired(self._runner.clock()):
            raise LeaseLost(self._job.id)
        if self._runner.stopping and self._step and self._kind.step(self._step).long:
            raise HandedBack(self._job.id)
        with self._database.autocommit() as tx:
            status = self._holder.look(tx)
        if status == "cancelling" and not self._past_return and not self._undoing:
            raise Cancelled(self._job.id)

    def _tell(self, message: str) -> None:
        with self._database.autocommit() as tx:
            self._holder.tell(tx, self._runner.scrub(message))
        self._runner.changed(self._job.id)

    def _progress(self, done: int, total: int, message: str) -> None:
        now = self._runner.clock()
        if now - self._told_at < PROGRESS_SECONDS and done < total:
            return
        self._told_at = now
        with self._database.autocommit() as tx:
            self._holder.progress(tx, done, total, self._runner.scrub(message))
        self._runner.changed(self._job.id)

    def _spawn(self, tx: Transaction, arguments: Any) -> str:
        job = self._job
        child = enqueue(
            tx, arguments, by=job.created_by, owner_id=job.owner_id, request_id=job.request_id, parent_id=job.id
        )
        return child.id

    @contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        with self._database.transaction() as tx:
            yield tx
            self._holder.look(tx)

    def _pass(self, point: Point) -> None:
        step = f"undo-{self._step}" if self._undoing else self._step
        self._runner.crash.passing(self._kind.name, step, point)


def _is_transient(error: Exception) -> bool:
    return isinstance(error, (Unavailable, psycopg.OperationalError, OSError))


def describe(error: Exception) -> str:
    """Say what went wrong in words that hold no statement, address or secret."""
    if isinstance(error, (Unavailable, Refused, JobError)):
        return str(error) or type(error).__name__
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        return f"Postgres refused: {error.diag.message_primary} ({error.sqlstate})"
    return f"unexpected {type(error).__name__}; the worker's log has the details"
