"""What keeps one job from two workers, each line of defence by itself: the fence in every write, the lane's index."""

from __future__ import annotations

from contextlib import suppress

import psycopg
import pytest

from jobs.engine import table
from jobs.engine.errors import LeaseLost
from jobs.engine.ledger import Ledger
from jobs.engine.table import Checkpoint, ClaimRequest, FencedWriter, NextStep, ReleaseInto
from tests.jobs.trial_kinds import Build, Turn

P = "proj_0000000000000001"
STEP = "first_thing_is_there"


def claim(engine):
    with engine.infra.database.autocommit() as tx:
        return table.claim(tx, worker=engine.name, queues=["control"], served=engine.runner.serves, lease_seconds=60)


@pytest.fixture
def passed_on(engine, other_engine):
    """A job as its first worker has claimed it, which a second one runs by now."""
    engine.enqueue(Build("a"))
    first = claim(engine)
    with engine.infra.database.transaction() as tx:
        FencedWriter(first.id, first.fence).release(tx, ReleaseInto("queued", refund=True))
    assert claim(other_engine).id == first.id
    return first


def everything(infra):
    with infra.database.autocommit() as tx:
        return [
            tx.rows(f"SELECT * FROM {name} ORDER BY 1, 2") for name in ("jobs", "job_steps", "job_events", "resources")
        ]


def ledger(infra, first):
    return Ledger(infra.database, job_id=first.id, project_id=P, fence=first.fence)


HELD = {
    "look": lambda held, tx: held.read_status(tx),
    "begin a step": lambda held, tx: held.advance(tx, None, NextStep(STEP)),
    "end a step": lambda held, tx: held.advance(tx, Checkpoint(STEP, "succeeded"), None),
    "turn back": lambda held, tx: held.turn_back(tx, None),
    "progress": lambda held, tx: held.report_progress(tx, 1, 2, "x"),
    "result": lambda held, tx: held.keep_result(tx, {"x": 1}),
    "log line": lambda held, tx: held.add_event(tx, "x"),
    "let go": lambda held, tx: held.release(tx, ReleaseInto("succeeded")),
    "finish": lambda held, tx: held.finish(tx, {}, None, ClaimRequest("x", ["bulk"], [], 60)),
    "park": lambda held, tx: held.park(tx),
}


@pytest.mark.parametrize("write", HELD)
def test_who_has_lost_a_job_to_another_worker_writes_nothing_more_to_it(write, passed_on, infra):
    before, noticed = everything(infra), False
    try:
        with infra.database.transaction() as tx:
            HELD[write](FencedWriter(passed_on.id, passed_on.fence), tx)
    except LeaseLost:
        noticed = True
    assert everything(infra) == before, f"A worker that has lost its job writes nothing more to it: {write}"
    assert noticed, f"A worker that has lost its job writes nothing more to it, and hears so: {write}"


def test_who_has_lost_a_job_announces_nothing_in_the_ledger(passed_on, infra):
    with suppress(LeaseLost):
        ledger(infra, passed_on).mark_intended("thing", "a")
    with infra.database.autocommit() as tx:
        found = tx.rows("SELECT name FROM resources")
    assert found == [], "A worker that has lost its job announces nothing more that it would make"


def test_who_has_lost_a_job_prolongs_no_lease_of_it(passed_on, engine, infra):
    before = everything(infra)
    lease = engine.leases.add(passed_on.id, passed_on.fence)
    engine.leases.renew_all()
    assert everything(infra) == before, "A worker that has lost its job prolongs nobody's lease of it"
    assert lease.lost.is_set(), "A worker that has lost its job hears so at its next beat"


def test_of_one_lane_two_jobs_never_run_whatever_the_code_believes(engine, infra):
    jobs = [engine.enqueue(Turn("one", P)).id, engine.enqueue(Turn("two", P)).id]
    with pytest.raises(psycopg.errors.UniqueViolation), infra.database.autocommit() as tx:
        tx.execute("UPDATE jobs SET status = 'running', leased_until = now() WHERE id = ANY (%s)", (jobs,))
        pytest.fail("Two jobs of one lane never run at once, whatever the code believes")


def test_what_an_atomic_step_wrote_is_taken_back_when_its_job_was_lost_meanwhile(engine, infra, at_gate):
    entered, gate = at_gate("a/note")
    job = engine.enqueue(Build("a"))
    running = engine.in_background()
    assert entered.wait(20)
    with infra.database.autocommit() as tx:
        tx.execute("UPDATE jobs SET fence = fence + 1 WHERE id = %s", (job.id,))
    gate.set()
    running.join(20)
    assert "a/note" not in engine.world(), "What an atomic step has written stands exactly when its checkpoint does"
