"""Cancelling: at once when waiting, at the next safe point when running, never past the point of no return."""

from __future__ import annotations

import pytest

from infra.errors import Refused, Unavailable
from jobs.engine.commands import JobConflict, JobNotFound, cancel, retry
from tests.jobs.trial_kinds import BEHAVIOUR, Build, Commit, Nothing, Turn

P = "proj_0000000000000001"


def ask(engine, verb, job_id, **more):
    with engine.infra.database.transaction() as tx:
        return verb(tx, job_id, **more)


def test_a_queued_job_is_cancelled_at_once_and_frees_its_lane(engine):
    first, second = engine.enqueue(Turn("one", P)), engine.enqueue(Turn("two", P))
    assert ask(engine, cancel, first.id, by="me").status == "cancelled"
    assert engine.job(second.id).ready
    engine.runner.drain()
    assert engine.job(first.id).status == "cancelled"
    assert engine.job(second.id).status == "succeeded"


def test_a_running_job_stops_at_its_next_safe_point_and_is_undone(engine, at_gate):
    entered, gate = at_gate("a/second")
    job = engine.enqueue(Build("a"))
    running = engine.in_background()
    assert entered.wait(5)
    assert ask(engine, cancel, job.id, by="me").status == "cancelling"
    gate.set()
    running.join(5)
    assert engine.job(job.id).status == "cancelled", "A running job that is cancelled stops at its next safe point"
    assert engine.world() == {"a/failed"}, "A cancelled job leaves nothing of what it had made"
    assert set(engine.ledger().values()) == {"gone"}


def test_a_job_in_back_off_with_steps_begun_is_undone_when_cancelled(engine):
    BEHAVIOUR["a/second"] = [Unavailable("away")]
    job = engine.enqueue(Build("a"))
    engine.runner.drain()
    ask(engine, cancel, job.id, by="me")
    engine.runner.drain()
    assert engine.job(job.id).status == "cancelled"
    assert engine.world() == {"a/failed"}


def test_past_the_point_of_no_return_a_cancel_is_refused(engine, at_gate):
    entered, gate = at_gate("a/commit")
    job = engine.enqueue(Commit("a"))
    running = engine.in_background()
    assert entered.wait(5)
    with pytest.raises(JobConflict, match="point of no return"):
        ask(engine, cancel, job.id, by="me")
    gate.set()
    running.join(5)
    assert engine.job(job.id).status == "succeeded"


def test_past_the_point_of_no_return_a_cancel_is_refused_between_two_attempts_too(engine):
    BEHAVIOUR["a/commit"] = [Unavailable("away")]
    job = engine.enqueue(Commit("a"))
    engine.runner.drain()
    assert (engine.job(job.id).status, engine.job(job.id).past_return) == ("retrying", True)
    with pytest.raises(JobConflict, match="point of no return"):
        ask(engine, cancel, job.id, by="me")
        pytest.fail("A job past its point of no return cannot be cancelled, not even while it waits for an attempt")


def test_a_final_job_cannot_be_cancelled(engine):
    job = engine.enqueue(Nothing())
    engine.runner.drain()
    with pytest.raises(JobConflict, match="succeeded"):
        ask(engine, cancel, job.id, by="me")


def test_a_job_that_does_not_exist_is_not_found(engine):
    with pytest.raises(JobNotFound):
        ask(engine, cancel, "job_" + "0" * 32, by="me")


def test_a_failed_job_goes_on_when_it_is_retried(engine):
    BEHAVIOUR["a/second"] = [Refused("no")]
    job = engine.enqueue(Build("a"))
    engine.runner.drain()
    assert engine.job(job.id).status == "failed"
    ask(engine, retry, job.id)
    engine.runner.drain()
    assert engine.job(job.id).status == "succeeded"
    assert engine.world() >= {"a/first", "a/note", "a/second"}


def test_a_job_that_succeeded_cannot_be_retried(engine):
    job = engine.enqueue(Nothing())
    engine.runner.drain()
    with pytest.raises(JobConflict, match="succeeded"):
        ask(engine, retry, job.id)


def test_every_pair_of_states_is_allowed_or_refused_by_the_fence(engine):
    """A job that nobody holds can be released by nobody."""
    from jobs.engine.errors import LeaseLost
    from jobs.engine.table import FencedWriter, ReleaseInto

    for status in ("queued", "retrying", "succeeded", "failed", "cancelled"):
        job = engine.enqueue(Nothing(status))
        with engine.infra.database.autocommit() as tx:
            tx.execute("UPDATE jobs SET status = %s WHERE id = %s", (status, job.id))
        with pytest.raises(LeaseLost), engine.infra.database.transaction() as tx:
            FencedWriter(job.id, 0).release(tx, ReleaseInto("succeeded"))
        assert engine.job(job.id).status == status


def test_a_cancel_is_not_forgotten_when_the_worker_dies_before_its_safe_point(engine, other_engine):
    from jobs.engine import table

    job = engine.enqueue(Build("a"))
    with engine.infra.database.autocommit() as tx:
        held = table.claim(
            tx, worker=other_engine.name, queues=["control"], served=engine.runner.serves, lease_seconds=2.0
        )
    assert ask(engine, cancel, held.id, by="me").status == "cancelling"
    with engine.infra.database.transaction() as tx:
        tx.rows("SELECT * FROM release_job(%s,%s,'queued','0',true,NULL,NULL,NULL,NULL,NULL)", (held.id, held.fence))
    engine.runner.drain()
    assert engine.job(job.id).status == "cancelled"
    assert engine.world() == {"a/failed"}


def test_undoing_a_cancelled_job_has_attempts_of_its_own(engine, at_gate):
    entered, gate = at_gate("a/second")
    BEHAVIOUR["a/undo-first"] = [Unavailable("away")]
    job = engine.enqueue(Build("a"))
    with engine.infra.database.autocommit() as tx:
        tx.execute("UPDATE jobs SET attempt = 2 WHERE id = %s", (job.id,))
    running = engine.in_background()
    assert entered.wait(5)
    ask(engine, cancel, job.id, by="me")
    gate.set()
    running.join(5)
    assert engine.job(job.id).status == "retrying"
    engine.due_now(job.id)
    engine.runner.drain()
    assert engine.job(job.id).status == "cancelled"
    assert engine.world() == {"a/failed"}
