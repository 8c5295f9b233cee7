"""A step has a deadline, and a cancel reaches it wherever it waits: nothing that a tenant sleeps on holds a worker."""

from __future__ import annotations

import psycopg
import pytest

from jobs.engine import commands
from jobs.engine.deadlines import step_watch
from jobs.engine.kind import LONG_STEP_SECONDS, STEP_SECONDS, AtomicStep, Step, kinds
from jobs.engine.reaper import Reaper
from tests.fixtures.beats import beating
from tests.jobs import hanging_kinds as trial
from tests.jobs.conftest import wait_until
from tests.jobs.trial_kinds import End, Turn

P, OTHER = "proj_0000000000000001", "proj_0000000000000002"


@pytest.fixture(autouse=True)
def beats(engine):
    """A worker beats while its steps hang."""
    with beating(engine.leases):
        yield
    trial.RELEASED.set()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """A step is looked at soon."""
    monkeypatch.setattr(step_watch, "UNWATCHED_SECONDS", 0.2)
    monkeypatch.setattr(step_watch, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(step_watch, "LOOK_SECONDS", 0.1)
    trial.RELEASED.clear()


def sleepers(engine) -> int:
    with engine.infra.database.autocommit() as tx:
        return tx.value(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'launchdb:job\\_%' AND wait_event = 'PgSleep' AND datname = current_database()"
        )


def cancel(engine, job):
    with engine.infra.database.transaction() as tx:
        commands.cancel(tx, job.id, by="test")


@pytest.mark.parametrize("kind", [trial.Hang, trial.HangSilently, trial.HangAndRefuse, trial.LookAndHang])
def test_a_cancel_ends_a_step_that_waits_in_postgres_and_leaves_no_session(engine, kind):
    job = engine.enqueue(kind(*("a", P)[: len(kind.__dataclass_fields__)]))
    running = engine.in_background()
    wait_until(lambda: sleepers(engine))
    cancel(engine, job)
    running.join(20)
    assert engine.job(job.id).status == "cancelled"
    assert sleepers(engine) == 0


def test_a_deletion_is_not_held_up_by_a_job_of_its_project_that_waits_in_postgres(engine):
    hung = engine.enqueue(trial.Hang("a", P))
    running = engine.in_background()
    wait_until(lambda: sleepers(engine))
    end = engine.enqueue(End("a", P))
    wait_until(lambda: engine.runner.run_one() and engine.job(end.id).status == "succeeded", 20)
    running.join(20)
    assert engine.job(hung.id).status == "cancelled"


def test_another_project_goes_on_while_a_step_waits_in_postgres(engine):
    hung = engine.enqueue(trial.Hang("a", P))
    running = engine.in_background()
    wait_until(lambda: sleepers(engine))
    other = engine.enqueue(Turn("b", OTHER))
    engine.runner.run_one()
    assert engine.job(other.id).status == "succeeded"
    cancel(engine, hung)
    running.join(20)


def test_a_step_that_takes_longer_than_it_is_given_is_ended_and_tried_again(engine):
    job = engine.enqueue(trial.Overdue("a"))
    engine.runner.run_one()
    seen = engine.job(job.id)
    assert (seen.status, seen.error["retryable"]) == ("retrying", True)
    assert seen.error["detail"] == "the step took longer than the 1 s that it is given, and was ended"
    engine.due_now(job.id)
    engine.runner.run_one()
    assert engine.job(job.id).status == "failed"
    assert sleepers(engine) == 0


def test_a_step_that_was_given_hours_is_not_tried_again_when_they_are_over(engine):
    job = engine.enqueue(trial.OverdueLong("a"))
    engine.runner.run_one()
    seen = engine.job(job.id)
    assert (seen.status, seen.error["retryable"], seen.attempt) == ("failed", False, 1)
    assert "took longer than the 1 s" in seen.error["detail"]


def test_a_way_back_that_takes_longer_than_it_is_given_ends_as_well(engine):
    job = engine.enqueue(trial.OverdueUndo("a"))
    engine.runner.run_one()
    seen = engine.job(job.id)
    assert seen.status == "failed"
    assert "undoing did not succeed: the step took longer" in seen.error["detail"]


@pytest.mark.parametrize("own", [True, False])
def test_a_lock_that_is_not_to_be_had_is_told_with_who_holds_it(engine, own):
    """Another project's login is nobody's business."""
    login = f"{P if own else OTHER}_owner"
    url = engine.infra.database.conninfo
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("INSERT INTO world (thing) VALUES ('held')")
        admin.execute(f"CREATE ROLE {login} LOGIN SUPERUSER PASSWORD 'held'")
        job = engine.enqueue(trial.WaitForLock("a", P))
        try:
            with psycopg.connect(url, user=login, password="held") as holder:
                holder.execute("UPDATE world SET made = 3 WHERE thing = 'held'")
                engine.runner.run_one()
        finally:
            admin.execute(f"DROP ROLE {login}")
    who = f"a session of the project ({login})" if own else "another session"
    assert engine.job(job.id).error["detail"] == f"it waits for a lock that {who} holds"


def test_a_job_whose_step_cannot_be_stopped_goes_to_another_worker(engine, other_engine, monkeypatch):
    monkeypatch.setattr(step_watch, "ABANDONED_SECONDS", 0.3)
    job = engine.enqueue(trial.Ignore("a"))
    engine.in_background()
    reaper = Reaper(engine.infra.database, engine.infra.settings)
    wait_until(lambda: reaper.run_once() or engine.job(job.id).crashes, 30)
    assert engine.job(job.id).status == "queued"
    trial.RELEASED.set()
    other_engine.runner.run_one()
    assert engine.job(job.id).status == "succeeded"


def test_each_step_of_each_kind_has_a_deadline():
    declared = {f"{kind.name}/{step.name}": step for kind in kinds().values() for step in kind.steps}
    assert all(0 < step.deadline_seconds <= LONG_STEP_SECONDS for step in declared.values())
    assert Step(trial.hang).deadline_seconds == STEP_SECONDS
    assert Step(trial.hang, long=True).deadline_seconds == LONG_STEP_SECONDS
    assert AtomicStep(trial.note_look).deadline_seconds == STEP_SECONDS
