"""A job outlives its worker: dead, frozen or cut off from Postgres."""

from __future__ import annotations

import time

import psycopg
import pytest

from infra.errors import Unavailable
from jobs.engine.errors import LeaseLost
from jobs.engine.reaper import Reaper
from jobs.engine.relay import Relay
from jobs.engine.table import FencedWriter, ReleaseInto
from tests.jobs.conftest import Engine, wait_until
from tests.jobs.trial_kinds import BEHAVIOUR, Build, Nothing, Turn, outside

P = "proj_0000000000000001"


@pytest.fixture
def reaper(infra):
    return Reaper(infra.database, infra.settings.model_copy(update={"suspect_seconds": 0.2, "beat_seconds": 0.1}))


def claim(engine):
    from jobs.engine import table

    with engine.infra.database.autocommit() as tx:
        return table.claim(tx, worker=engine.name, queues=["control"], served=engine.runner.serves, lease_seconds=2.0)


def test_a_dead_workers_job_is_passed_on_once_its_lock_stays_free(engine, other_engine, reaper):
    job = engine.enqueue(Turn("one", P))
    assert claim(other_engine).id == job.id
    other_engine.liveness._session.close()
    assert reaper.run_once() == 0, "A worker whose session is lost is suspect for a while before it is dead"
    wait_until(lambda: reaper.run_once() == 1)
    passed = engine.job(job.id)
    assert (passed.status, passed.crashes, passed.attempt) == ("queued", 1, 0)
    assert engine.runner.drain() == 1


def test_a_worker_that_takes_its_lock_again_in_time_keeps_its_job(engine, other_engine, reaper):
    job = engine.enqueue(Turn("one", P))
    held = claim(other_engine)
    other_engine.liveness._session.close()
    reaper.run_once()
    other_engine.liveness.take()
    time.sleep(0.3)
    assert reaper.run_once() == 0
    assert engine.job(job.id).fence == held.fence
    assert engine.job(job.id).status == "running"


def test_a_lapsed_lease_is_taken_over_although_the_lock_is_held(engine, other_engine, reaper):
    job = engine.enqueue(Turn("one", P))
    held = claim(other_engine)
    with engine.infra.database.autocommit() as tx:
        tx.execute("UPDATE jobs SET leased_until = now() - interval '1 s' WHERE id = %s", (job.id,))
    wait_until(lambda: reaper.run_once() == 1)
    taken = claim(engine)
    assert taken.fence == held.fence + 1


def test_a_worker_that_could_not_renew_its_lease_acts_no_more(engine, at_gate):
    entered, gate = at_gate("a/second")
    engine.enqueue(Build("a"))
    running = engine.in_background()
    assert entered.wait(20)
    (lease,) = engine.leases.held()
    lease.deadline = 0.0  # by its own clock; the row is still its own
    gate.set()
    running.join(20)
    assert "a/second" not in engine.world(), "A worker that could not renew its lease acts no more, by its own clock"


def test_a_stale_worker_can_write_nothing(engine, other_engine, reaper):
    job = engine.enqueue(Build("a"))
    held = claim(other_engine)
    with engine.infra.database.autocommit() as tx:
        tx.execute("UPDATE jobs SET leased_until = now() - interval '1 s' WHERE id = %s", (job.id,))
    wait_until(lambda: reaper.run_once() == 1)
    stale = FencedWriter(job.id, held.fence)
    before = engine.job(job.id)
    for write in (
        lambda tx: stale.read_status(tx),
        lambda tx: stale.release(tx, ReleaseInto("succeeded")),
        lambda tx: stale.add_event(tx, "x"),
        lambda tx: stale.report_progress(tx, 1, 2, "x"),
        lambda tx: stale.turn_back(tx, None),
        lambda tx: stale.advance(tx, None, None),
    ):
        with pytest.raises(LeaseLost), engine.infra.database.transaction() as tx:
            write(tx)
    assert engine.job(job.id) == before


def test_open_sessions_of_the_old_attempt_are_ended_before_the_job_runs_again(engine, other_engine, reaper):
    job = engine.enqueue(Turn("one", P))
    held = claim(other_engine)

    class Attempt:
        session = f"launchdb:{job.id}:{held.fence}"
        infra = engine.infra

    left_open = outside(Attempt)
    with engine.infra.database.autocommit() as tx:
        tx.execute("UPDATE jobs SET leased_until = now() - interval '1 s' WHERE id = %s", (job.id,))
    wait_until(lambda: reaper.run_once() == 1)
    with pytest.raises(psycopg.OperationalError):
        left_open.execute("SELECT 1")
        pytest.fail("What an attempt has left open in Postgres is ended before its job runs again")


def test_three_worker_deaths_end_the_job_as_poison_and_undone(engine, reaper):
    job = engine.enqueue(Build("a"))
    for _ in range(3):
        doomed = Engine(engine.infra)
        assert claim(doomed).id == job.id
        doomed.liveness._session.close()
        wait_until(lambda: reaper.run_once() == 1)
    assert engine.job(job.id).undoing, "A job of which three workers have died is not tried a fourth time"
    engine.runner.drain()
    failed = engine.job(job.id)
    assert failed.status == "failed"
    assert failed.error["type"] == "urn:launchdb:job:poison"
    assert "3 workers died" in failed.error["detail"]


def test_two_reapers_pass_a_job_on_once(engine, other_engine, infra):
    job = engine.enqueue(Turn("one", P))
    claim(other_engine)
    quick = infra.settings.model_copy(update={"suspect_seconds": 0.1, "beat_seconds": 0.1})
    reapers = [Reaper(infra.database, quick), Reaper(infra.database, quick)]
    other_engine.liveness._session.close()
    passed = []
    wait_until(lambda: passed.extend(reaper.run_once() for reaper in reapers) or sum(passed))
    passed += [reaper.run_once() for reaper in reapers]
    assert sum(passed) == 1
    assert engine.job(job.id).crashes == 1


def test_a_worker_told_to_leave_finishes_its_step_and_gives_the_lease_back(engine, other_engine, at_gate):
    entered, gate = at_gate("a/first")
    job = engine.enqueue(Build("a"))
    running = engine.in_background()
    assert entered.wait(5)
    engine.runner.stopping = True
    gate.set()
    running.join(5)
    given_back = engine.job(job.id)
    said = (given_back.status, given_back.attempt, given_back.crashes)
    assert said == ("queued", 0, 0), "A worker that is told to leave gives its job back, and that costs no attempt"
    assert engine.steps(job.id)["first_thing_is_there"] == "succeeded"
    other_engine.runner.drain()
    assert engine.job(job.id).status == "succeeded"


def test_a_fault_beside_a_lost_liveness_session_costs_no_attempt(engine):
    def lose_session():
        engine.liveness.lost_count += 1
        return Unavailable("the connection went away")

    class Losing(Unavailable):
        def __init__(self):
            super().__init__("the connection went away")

    BEHAVIOUR["a/first"] = [Losing()]
    job = engine.enqueue(Build("a"))
    counts = iter([0, 1])
    engine.runner.losses = lambda: next(counts, 1)
    engine.runner.run_one()
    waiting = engine.job(job.id)
    assert (waiting.status, waiting.attempt) == ("retrying", 0)


def test_the_relay_rings_for_what_was_not_heard_and_then_is_silent(engine, infra):
    for bells in ("control", "bulk"):
        infra.doorbell._redis.delete(f"launchdb:bell:{bells}")
    job = engine.enqueue(Nothing())
    infra.doorbell._redis.delete("launchdb:bell:control")
    relay = Relay(infra.database, infra.doorbell)
    assert relay.run_once() == 1, "A job whose bell nobody has heard is rung for again"
    assert infra.doorbell._redis.lrange("launchdb:bell:control", 0, -1) == [job.id]
    assert relay.run_once() == 0
    engine.runner.drain()
    infra.doorbell._redis.delete("launchdb:bell:control")
    assert relay.run_once() == 0
