"""When a job will be done: only what its kind's history and its own work tell."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from jobs.engine import view
from jobs.engine.history import JobStatistics, sums
from tests.jobs.trial_kinds import Nothing, Turn

PROJECT = "proj_" + "0" * 16


@pytest.fixture
def shown(infra):
    def look(job):
        with infra.database.autocommit() as tx:
            return view.show_job(tx, job.id)

    return look


def age(infra, seconds):
    """Have every step that has ended have taken so long, some time ago."""
    with infra.database.autocommit() as tx:
        tx.execute("UPDATE job_steps SET started_at = finished_at - %s * interval '1 s'", (seconds,))
        tx.execute("UPDATE jobs SET finished_at = finished_at - interval '10 s' WHERE finished_at IS NOT NULL")


def from_now(job):
    moment = datetime.fromisoformat(job["estimatedFinishAt"])
    return (moment - datetime.now(UTC)).total_seconds()


def test_nothing_is_said_without_a_history_and_the_median_with_one(engine, infra, shown):
    job = engine.enqueue(Turn("a", PROJECT))
    assert shown(job)["estimatedFinishAt"] is None
    engine.runner.run_one()
    age(infra, 100)
    assert JobStatistics(infra.database).run_once() == 1
    assert JobStatistics(infra.database).run_once() == 0
    first, second = engine.enqueue(Turn("b", PROJECT)), engine.enqueue(Turn("c", PROJECT))
    assert 90 < from_now(shown(first)) < 101
    assert shown(second)["waitingFor"]["jobId"] == first.id
    assert 190 < from_now(shown(second)) < 201


def test_a_running_step_counts_down_and_reported_work_counts_more(engine, infra, shown, at_gate):
    engine.enqueue(Turn("a", PROJECT))
    engine.runner.run_one()
    age(infra, 100)
    JobStatistics(infra.database).run_once()
    entered, gate = at_gate("b/nothing")
    job = engine.enqueue(Turn("b", PROJECT))
    thread = engine.in_background()
    assert entered.wait(10)
    with infra.database.autocommit() as tx:
        tx.execute("UPDATE job_steps SET started_at = now() - interval '30 s' WHERE job_id = %s", (job.id,))
    assert 60 < from_now(shown(job)) < 71
    with infra.database.autocommit() as tx:
        tx.execute(
            "UPDATE jobs SET progress_done = 3, progress_total = 4, progress_message = 'x' WHERE id = %s", (job.id,)
        )
    assert 5 < from_now(shown(job)) < 11
    gate.set()
    thread.join(10)
    assert shown(job)["estimatedFinishAt"] is None


def test_the_sums_count_each_ended_job_once(engine, infra):
    for _job in range(3):
        engine.enqueue(Nothing())
        engine.runner.run_one()
    age(infra, 1)
    for _look in range(2):
        JobStatistics(infra.database).run_once()
    with infra.database.autocommit() as tx:
        found = {(row["measure"], row["label"]): row["count"] for row in sums(tx)}
    assert found == {("step", "nothing"): 3, ("job", "succeeded"): 3, ("claim", ""): 3, ("attempts", ""): 3}
