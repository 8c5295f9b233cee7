"""One attempt at one job: forward through its steps, or back through them, to its next resting place."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from infra.errors import Refused
from jobs.engine import breakers, table
from jobs.engine import kind as kinds
from jobs.engine.claimed_job import ClaimedJob, EngineContext
from jobs.engine.commands import call_on_failed
from jobs.engine.errors import Cancelled, GiveUp, HandedBack, LeaseLost, Parked
from jobs.engine.failure import as_problem, is_transient
from jobs.engine.kind import AtomicStep, Step
from jobs.engine.retry import delay_seconds
from jobs.engine.table import Checkpoint, NextStep, ReleaseInto

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.engine.kind import AnyStep
    from jobs.engine.lease import Lease
    from jobs.engine.run import Run
    from jobs.engine.table import Claim, ClaimRequest, Job

log = logging.getLogger(__name__)


class Attempt:
    """Carries a claimed job to its next resting place. Whatever happens, `carry` does not raise.

    claims  as whom to take the next job in the transaction that ends this one well; None: not at all
    next    that job, if there was one
    asked   whether it was asked for
    """

    def __init__(self, engine: EngineContext, job: Claim, lease: Lease, claims: ClaimRequest | None = None) -> None:
        self.next: Claim | None = None
        self.asked = False
        self._claims = claims
        self._engine = engine
        self._database = engine.infra.database
        self._job: Job = job
        self._begun_by_claim = job.begun
        self._kind = kinds.find(job.kind, job.version)
        self._hold = ClaimedJob(engine, job, lease, self._kind)
        self._losses = engine.losses()
        self._pending: Checkpoint | None = None
        self._finished = False
        self._status: dict[str, str] = {}
        self._run: Run[Any] = self._hold.run()

    def carry(self) -> None:
        """Run the job until it rests."""
        try:
            self._walk()
        except Exception as error:  # noqa: BLE001 - the one place where every failure of a step ends
            # Whatever the failed transaction took was not taken.
            self.next, self.asked = None, False
            self._stop(error)

    def _stop(self, error: Exception) -> None:
        if isinstance(error, (LeaseLost, HandedBack)):
            # When nobody has taken the job yet, this gives it back; otherwise it changes nothing.
            self._rest(ReleaseInto("queued", refund=True))
        elif isinstance(error, Parked):
            self._engine.changed(self._job.id)
        else:
            self._fail(error)

    def _rest(self, into: ReleaseInto) -> None:
        # With the checkpoint that is still to be written; Postgres may be away for a while.
        if self._pending is not None:
            into = replace(into, result=self._run.result or None)
        self._hold.write_persistently(lambda tx: self._hold.fenced.release(tx, into, self._pending))
        self._engine.changed(self._job.id)

    def _walk(self) -> None:
        if self._job.fence > 1:
            with self._database.autocommit() as tx:
                self._status = self._hold.steps_so_far(tx)
        if not self._hold.undoing:
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
            if self._engine.stopping:
                raise HandedBack(self._job.id)
            if step.name == self._begun_by_claim:
                self._begun(step)
            else:
                self._begin(step)
            if isinstance(step, AtomicStep):
                self._act_atomically(step)
            else:
                self._act(step)
        if not self._finished:
            self._finish()

    def _heed_cancel(self) -> None:
        # A worker may have died between the request and its safe point: the request still stands.
        if self._job.cancel_requested_at is not None and not self._hold.past_return:
            raise Cancelled(self._job.id)

    def _begin(self, step: AnyStep) -> None:
        """Write the checkpoint of the step before and the beginning of this one, in one statement."""
        if self._hold.expired:
            raise LeaseLost(self._job.id)
        with self._database.autocommit() as tx:
            self._hold.keep_result(tx, self._run.result)
            goes_on = self._hold.fenced.advance(tx, self._pending, NextStep(step.name, step.no_return))
        self._settled()
        if not goes_on:
            raise Cancelled(self._job.id)
        self._begun(step)
        self._engine.changed(self._job.id)

    def _begun(self, step: AnyStep) -> None:
        self._hold.step = self._run.ledger.step = step.name
        self._hold.past_return = self._hold.past_return or step.no_return

    def _join(self) -> None:
        # The slot is left while children are open. The step counts as begun and is begun again when they rest.
        with self._database.transaction() as tx:
            parked = self._hold.fenced.park(tx)
        if parked:
            raise Parked(self._job.id)
        self._hold.check()

    def _act(self, step: Step) -> None:
        if step.joins:
            self._join()
        self._hold.reach_crash_point("before_act")
        with self._hold.watched(step, self._run.session):
            step.act(self._run)
        self._hold.reach_crash_point("after_act")
        self._pending = self._ended(step)

    def _look_again(self, step: AnyStep) -> None:
        """A finished step whose work has to last looks at the world anew: what has vanished since is made again.

        No other one does: it may take away what a later step, or another job, has made or left since.
        """
        self._hold.step = self._run.ledger.step = step.name
        if isinstance(step, Step) and step.lasting:
            self._hold.check()
            with self._hold.watched(step, self._run.session):
                step.act(self._run)

    def _act_atomically(self, step: AtomicStep[Any]) -> None:
        ended = self._ended(step)
        last = step is self._kind.steps[-1]
        self._hold.reach_crash_point("before_act")
        with self._hold.watched(step, self._run.session):
            known = () if step.reads is None else (step.reads(self._run),)
        with self._database.transaction() as tx:
            step.function(self._hold.atomic_run(self._run), tx, *known)
            self._hold.reach_crash_point("after_act")
            if last:
                self._end(tx, ended)
            else:
                self._hold.keep_result(tx, self._run.result)
                self._hold.fenced.advance(tx, ended, None)
        self._hold.reach_crash_point("after_checkpoint")
        self._finished = last
        if last:
            self._engine.finished(self._job, "succeeded")

    def _finish(self) -> None:
        with self._database.autocommit() as tx:
            self._end(tx, self._pending)
        self._settled()
        self._engine.finished(self._job, "succeeded")

    def _end(self, tx: Transaction, ended: Checkpoint | None) -> None:
        """End the job well, with the last checkpoint; whoever drains is given the next job by the same statement."""
        if self._claims is None or self._engine.stopping:
            self._hold.fenced.release(tx, ReleaseInto("succeeded", result=self._run.result), ended)
            return
        self.next = self._hold.fenced.finish(tx, self._run.result, ended, self._claims)
        self.asked = True

    def _ended(self, step: AnyStep) -> Checkpoint:
        steps = self._kind.steps
        return Checkpoint(step.name, "succeeded", done=steps.index(step) + 1, total=len(steps))

    def _settled(self) -> None:
        if self._pending is not None:
            self._pending = None
            self._hold.reach_crash_point("after_checkpoint")

    # --- back

    def _turn_back(self, error: dict[str, Any] | None) -> None:
        with self._database.autocommit() as tx:
            self._hold.fenced.turn_back(tx, error)
            self._status = self._hold.steps_so_far(tx)
            self._job = table.find(tx, self._job.id) or self._job
        self._hold.undoing = True

    def _back(self) -> None:
        """Undo every step that was begun, newest first, then come to rest as cancelled or failed."""
        job = self._reread()
        if self._kind.on_failure == "undo":
            for step in reversed(self._kind.steps):
                status = self._status.get(step.name, "pending")
                # What has nothing of its own to take back is done again with the rest when the job is retried.
                if status not in ("pending", "undone") and (
                    step.undo or (status == "succeeded" and isinstance(step, Step))
                ):
                    self._undo(step)
        final = "cancelled" if job.cancel_requested_at is not None else "failed"
        detail = str((job.error or {}).get("detail") or job.cancel_reason or final)
        with self._database.transaction() as tx:
            call_on_failed(tx, job, detail)
            self._hold.fenced.release(tx, ReleaseInto(final))
        self._engine.finished(job, final)

    def _undo(self, step: AnyStep) -> None:
        self._hold.step = self._run.ledger.step = step.name
        self._hold.check()
        self._hold.reach_crash_point("before_act")
        if step.undo is not None:
            with self._hold.watched(step, self._run.session):
                step.undo(self._run)
        self._hold.reach_crash_point("after_act")
        with self._database.autocommit() as tx:
            self._hold.fenced.advance(tx, Checkpoint(step.name, "undone"), None)
        self._hold.reach_crash_point("after_checkpoint")

    def _reread(self) -> Job:
        with self._database.autocommit() as tx:
            self._hold.fenced.read_status(tx)
            return table.find(tx, self._job.id) or self._job

    # --- failure

    def _fail(self, error: Exception) -> None:
        interrupted = self._engine.losses() != self._losses and is_transient(error)
        permanent = isinstance(error, (GiveUp, Refused))
        worn_out = self._job.attempt >= self._job.max_attempts and not interrupted
        described = as_problem(error, self._hold.step, retryable=not permanent, scrub=self._engine.scrub)
        snooze = None if interrupted else breakers.breaker_pause(self._database, error, self._job.kind)
        if snooze is not None:
            self._rest(ReleaseInto("retrying", delay_seconds=snooze, refund=True, error=described))
            return
        if not (permanent or worn_out):
            delay = 0.0 if interrupted else delay_seconds(self._job.attempt, self._engine.random)
            log.info("attempt failed", extra={"step": self._hold.step, "error": described["detail"], "delay": delay})
            self._rest(ReleaseInto("retrying", delay_seconds=delay, refund=interrupted, error=described))
            return
        log.error("job given up", extra={"step": self._hold.step, "error": described["detail"]}, exc_info=error)
        if self._hold.undoing:
            described["detail"] = f"undoing did not succeed: {described['detail']}"
            self._rest_as_failed(described)
            return
        self._give_up(described)

    def _give_up(self, described: dict[str, Any]) -> None:
        # The kind's failure policy begins; a failure on that way is a failed attempt at undoing.
        try:
            self._mark_step_failed(described)
            self._turn_back(described)
            self._back()
        except (LeaseLost, HandedBack):
            self._rest(ReleaseInto("queued", refund=True))
        except Exception as error:  # noqa: BLE001 - undoing is tried again like any step
            self._fail(error)

    def _mark_step_failed(self, described: dict[str, Any]) -> None:
        if self._hold.step:
            with self._database.autocommit() as tx:
                self._hold.fenced.advance(
                    tx, Checkpoint(self._hold.step, "failed", message=str(described["detail"])), None
                )

    def _rest_as_failed(self, described: dict[str, Any]) -> None:
        # What was taken back half is made again by a retry.
        half = Checkpoint(self._hold.step, "failed", message=str(described["detail"])) if self._hold.step else None

        def write(tx: Transaction) -> None:
            call_on_failed(tx, self._job, str(described["detail"]))
            self._hold.fenced.release(tx, ReleaseInto("failed", error=described), half)

        self._hold.write_persistently(write)
        self._engine.finished(self._job, "failed")
