"""What a deletion makes pointless is undone like what was cancelled, and no step of a job that has ended runs on."""

from __future__ import annotations

import pytest

from infra.errors import Unavailable
from tests.jobs.conftest import wait_until
from tests.jobs.trial_kinds import BEHAVIOUR, Build, Bulk, End, Keep, Long, Pack, Turn

P = "proj_0000000000000001"


def running_steps(engine) -> list[str]:
    """Steps that are said to run, of jobs that have ended."""
    with engine.infra.database.autocommit() as tx:
        rows = tx.rows(
            "SELECT s.name FROM job_steps s JOIN jobs j ON j.id = s.job_id"
            " WHERE s.status = 'running' AND j.finished_at IS NOT NULL"
        )
    return [row["name"] for row in rows]


@pytest.mark.parametrize("kind", [Pack, Keep])
def test_a_running_job_that_is_superseded_stops_and_is_undone_as_its_kind_says(engine, other_engine, at_gate, kind):
    entered, gate = at_gate("a/second")
    job = engine.enqueue(kind("a", P))
    running = engine.in_background()
    assert entered.wait(20)
    end = engine.enqueue(End("end", P))
    gate.set()
    running.join(20)
    assert engine.job(job.id).status == "cancelled"
    assert engine.world() == (set() if kind is Pack else {"a/first"})
    assert running_steps(engine) == []
    if kind is Pack:
        assert set(engine.steps(job.id).values()) <= {"undone", "pending"}
    wait_until(lambda: other_engine.runner.drain() or engine.job(end.id).final)
    assert engine.job(end.id).status == "succeeded"


def test_one_that_waits_for_another_attempt_is_undone_too(engine):
    BEHAVIOUR["a/second"] = [Unavailable("away")]
    job = engine.enqueue(Pack("a", P))
    engine.runner.drain()
    assert (engine.job(job.id).status, engine.world()) == ("retrying", {"a/first", "a/note"})
    untouched = engine.enqueue(Bulk("untouched", P))
    end = engine.enqueue(End("end", P))
    assert engine.job(untouched.id).status == "cancelled", "of what was never begun there is nothing to undo"
    assert engine.job(job.id).undoing
    engine.runner.drain()
    assert [engine.job(each.id).status for each in (job, untouched, end)] == ["cancelled", "cancelled", "succeeded"]
    assert engine.world() == set()
    assert running_steps(engine) == []


def test_an_undoing_that_cannot_be_done_now_does_not_hold_up_the_deletion(engine):
    BEHAVIOUR["a/second"] = [Unavailable("away")]
    BEHAVIOUR["a/undo-first"] = [Unavailable("away")]
    job = engine.enqueue(Build("a", P))
    engine.runner.drain()
    end = engine.enqueue(End("end", P))
    engine.runner.drain()
    assert (engine.job(job.id).status, engine.job(end.id).status) == ("retrying", "succeeded")
    engine.due_now(job.id)
    engine.runner.drain()
    assert (engine.job(job.id).status, engine.world()) == ("cancelled", set())


def test_whoever_sleeps_is_rung_for_to_undo_it(engine, infra):
    BEHAVIOUR["a/second"] = [Unavailable("away")]
    job = engine.enqueue(Pack("a", P))
    engine.runner.drain()
    infra.doorbell._redis.delete("launchdb:bell:bulk", "launchdb:bell:control")
    engine.enqueue(End("end", P))
    assert job.id in infra.doorbell._redis.lrange("launchdb:bell:bulk", 0, -1)


def test_a_cancelled_job_of_a_kind_that_keeps_has_no_step_left_running(engine, at_gate):
    from jobs.engine.commands import cancel

    entered, gate = at_gate("long/nothing")
    job = engine.enqueue(Long("long"))
    running = engine.in_background()
    assert entered.wait(20)
    with engine.infra.database.transaction() as tx:
        cancel(tx, job.id, by="somebody")
    BEHAVIOUR["long/nothing"] = [Unavailable("it notices")]
    gate.set()
    running.join(20)
    engine.due_now(job.id)
    engine.runner.drain()
    assert engine.job(job.id).status == "cancelled"
    assert running_steps(engine) == []
    with engine.infra.database.autocommit() as tx:
        told = tx.rows("SELECT data FROM job_events WHERE job_id = %s AND type = 'step'", (job.id,))
    assert told[-1]["data"]["status"] == "undone"


def test_a_job_in_the_lane_of_its_deletion_that_was_never_begun_is_cancelled_at_once(engine):
    waiting = engine.enqueue(Turn("one", P))
    end = engine.enqueue(End("end", P))
    assert engine.job(waiting.id).status == "cancelled"
    assert engine.runner.drain() == 1
    assert engine.job(end.id).status == "succeeded"
