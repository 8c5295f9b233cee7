"""Two lanes a project: order inside a lane, nothing twice at a time, and who need not wait."""

from __future__ import annotations

from infra.errors import Unavailable
from jobs.engine.worker import claimable
from tests.jobs.conftest import wait_until
from tests.jobs.trial_kinds import BEHAVIOUR, Alone, Build, Bulk, End, Turn, Urgent

P = "proj_0000000000000001"
Q = "proj_0000000000000002"


def waiting_for(engine, job):
    with engine.infra.database.autocommit() as tx:
        return tx.value("SELECT job_waiting_for(jobs) FROM jobs WHERE id = %s", (job.id,))


def test_jobs_of_one_lane_run_one_after_the_other_in_order(engine, other_engine, at_gate):
    entered, gate = at_gate("one/nothing")
    first = engine.enqueue(Turn("one", P))
    second = engine.enqueue(Turn("two", P))
    running = engine.in_background()
    assert entered.wait(5)
    assert other_engine.runner.drain() == 0, "Jobs of one lane run one after the other"
    assert waiting_for(engine, second)["jobId"] == first.id
    gate.set()
    running.join(5)
    assert other_engine.runner.drain() == 1
    assert engine.job(second.id).status == "succeeded"


def test_other_projects_and_the_bulk_lane_do_not_wait(engine, other_engine, at_gate):
    entered, gate = at_gate("one/nothing")
    engine.enqueue(Turn("one", P))
    running = engine.in_background()
    assert entered.wait(5)
    other = engine.enqueue(Turn("x", Q))
    bulk = engine.enqueue(Bulk("y", P))
    assert other_engine.runner.drain() == 2
    assert {engine.job(other.id).status, engine.job(bulk.id).status} == {"succeeded"}
    gate.set()
    running.join(5)


def test_a_limit_counts_running_jobs_and_the_waiting_one_says_so(engine, other_engine, infra, at_gate):
    gates = [at_gate(f"{label}/nothing") for label in ("a", "b")]
    for number, label in enumerate(("a", "b")):
        engine.enqueue(Bulk(label, f"proj_000000000000001{number}"))
    threads = [engine.in_background(), other_engine.in_background()]
    for entered, _gate in gates:
        assert entered.wait(5)
    # Nothing is kept from one that goes before others but by the limit.
    third = engine.enqueue(Bulk("c", "proj_0000000000000013"), priority=1)
    assert engine.runner.run_one() is False, "Of a kind with a limit no more jobs run at once than it says"
    assert waiting_for(engine, third) == {
        "reason": "limit",
        "limit": 2,
        "message": "2 jobs of this kind run already",
    }
    assert claimable(infra.database, "bulk", engine.runner.serves, 5) == []
    for _entered, gate in gates:
        gate.set()
    for thread in threads:
        thread.join(5)
    assert engine.runner.run_one() is True


def test_a_conflict_across_lanes_waits_for_the_other_job(engine, other_engine, at_gate):
    entered, gate = at_gate("bulk/nothing")
    bulk = engine.enqueue(Bulk("bulk", P))
    running = engine.in_background()
    assert entered.wait(5)
    alone = engine.enqueue(Alone("alone", P))
    assert other_engine.runner.run_one() is False
    assert waiting_for(engine, alone)["jobId"] == bulk.id
    gate.set()
    running.join(5)
    assert other_engine.runner.run_one() is True


def test_a_lane_head_in_back_off_holds_up_its_lane_but_not_what_preempts(engine):
    BEHAVIOUR["slow/nothing"] = [Unavailable("away")]
    head = engine.enqueue(Turn("slow", P))
    engine.runner.drain()
    behind = engine.enqueue(Turn("behind", P))
    urgent = engine.enqueue(Urgent("urgent", P))
    with engine.infra.database.autocommit() as tx:
        tx.execute("UPDATE jobs SET run_at = now() + interval '1 hour' WHERE id = %s", (head.id,))
    assert engine.runner.drain() == 1, "A job in back-off does not hold up what need not wait behind it"
    assert engine.job(urgent.id).status == "succeeded"
    assert waiting_for(engine, behind)["jobId"] == head.id
    assert waiting_for(engine, head)["reason"] == "retry"


def test_a_coalescing_kind_folds_into_the_queued_job_of_equal_arguments(engine):
    first = engine.enqueue(Urgent("same", P))
    assert engine.enqueue(Urgent("same", P)).id == first.id
    other = engine.enqueue(Urgent("other", P)).id
    assert other != first.id, "A job folds into one of equal arguments and into no other"


def test_a_superseding_job_cancels_what_is_queued_for_its_project_only(engine):
    mine, bulk, theirs = (
        engine.enqueue(Turn("mine", P)),
        engine.enqueue(Bulk("bulk", P)),
        engine.enqueue(Turn("theirs", Q)),
    )
    end = engine.enqueue(End("end", P))
    assert engine.job(mine.id).status == engine.job(bulk.id).status == "cancelled"
    assert engine.job(theirs.id).status == "queued", "A deletion stops the jobs of its own project alone"
    assert engine.enqueue(End("end", P)).id == end.id
    engine.runner.drain()
    assert engine.job(end.id).status == "succeeded"


def test_a_superseding_job_stops_the_running_one(engine, at_gate):
    entered, gate = at_gate("a/first")
    build = engine.enqueue(Build("a", P))
    running = engine.in_background()
    assert entered.wait(5)
    end = engine.enqueue(End("end", P))
    gate.set()
    running.join(5)
    assert engine.job(build.id).status == "cancelled"
    assert engine.world() == set()  # the check before the outside call stopped it; announce() was not called either
    wait_until(lambda: engine.runner.run_one() or engine.job(end.id).status == "succeeded")


def test_a_job_of_higher_priority_goes_first(engine):
    engine.enqueue(Turn("low", P))
    high = engine.enqueue(Turn("high", Q), priority=5)
    engine.runner.run_one()
    assert engine.job(high.id).status == "succeeded"


def test_a_paused_queue_is_not_claimed_from_and_its_jobs_say_so(engine):
    from jobs.engine import view

    job = engine.enqueue(Turn("one", P))
    with engine.infra.database.transaction() as tx:
        assert view.pause_queue(tx, "control", by="operator")
    assert engine.runner.drain() == 0
    assert waiting_for(engine, job)["reason"] == "paused"
    with engine.infra.database.transaction() as tx:
        assert view.resume_queue(tx, "control")
    assert engine.runner.drain() == 1


def test_an_unknown_kind_waits_and_says_that_no_worker_serves_it(engine):
    job = engine.enqueue(Turn("one", P))
    with engine.infra.database.autocommit() as tx:
        tx.execute("UPDATE jobs SET version = 9 WHERE id = %s", (job.id,))
    assert engine.runner.drain() == 0
    assert waiting_for(engine, job) == {"reason": "no_worker", "message": "no worker serves it"}
    assert engine.job(job.id).status == "queued"


def test_a_job_that_is_due_later_says_when(engine):
    with engine.infra.database.transaction() as tx:
        later = tx.value("SELECT now() + interval '1 hour'")
    job = engine.enqueue(Turn("one", P), run_at=later)
    assert engine.runner.drain() == 0
    assert waiting_for(engine, job)["reason"] == "scheduled"
