"""Deploys: old rows meet new workers, old workers meet the new schema; nothing is dropped and what waits says why."""

from __future__ import annotations

import json

import pytest

from jobs.engine import kind as kinds
from jobs.engine import view
from jobs.engine.errors import GiveUp
from jobs.engine.runner import Runner
from jobs.kinds.former_steps import FORMER_STEPS
from tests.jobs.trial_kinds import BEHAVIOUR, STEPS, Build, Keep, Nothing

OLD_CLAIM = "SELECT id, fence, status FROM claim_job(%s, %s, %s, interval '15 s')"
OLD_RELEASE = "SELECT (released).status FROM release_job(%s, %s, %s, interval '0', false, NULL, NULL, NULL, NULL, NULL)"


def waiting(infra, job_id):
    with infra.database.autocommit() as tx:
        return view.show_job(tx, job_id)["waitingFor"]


def write(infra, statement, *values):
    with infra.database.autocommit() as tx:
        return tx.rows(statement, values) if statement.startswith("SELECT") else tx.execute(statement, values)


def test_calls_of_the_first_release_still_work(engine, infra):
    job = engine.enqueue(Nothing("a"))
    served = sorted(kinds.kinds())
    (claimed,) = write(infra, OLD_CLAIM, engine.name, ["control", "bulk"], served)
    assert (claimed["id"], claimed["status"]) == (job.id, "running")
    (released,) = write(infra, OLD_RELEASE, job.id, claimed["fence"], "succeeded")
    assert released["status"] == "succeeded"
    assert write(infra, OLD_RELEASE, job.id, claimed["fence"], "succeeded") == []


def test_a_version_that_nobody_serves_waits_says_so_and_runs_once_somebody_does(engine, infra):
    job = engine.enqueue(Nothing("a"))
    write(infra, "UPDATE jobs SET version = 99 WHERE id = %s", job.id)
    assert not engine.runner.run_one()
    assert waiting(infra, job.id)["reason"] == "no_worker"
    write(infra, "UPDATE jobs SET version = 1 WHERE id = %s", job.id)
    assert engine.runner.run_one()
    assert engine.job(job.id).status == "succeeded"


def test_an_older_worker_takes_only_what_it_knows(engine, infra):
    known, unknown = engine.enqueue(Nothing("a")), engine.enqueue(Keep("b"))
    older = Runner(infra, engine.leases, worker=engine.name, queues=["control", "bulk"], serves=["trial.nothing@1"])
    assert older.drain() == 1, "A job of a kind that a worker does not know waits for one that does"
    assert engine.job(known.id).status == "succeeded"
    assert engine.job(unknown.id).status == "queued"
    assert engine.runner.run_one()
    assert engine.job(unknown.id).status == "succeeded"


def test_members_that_this_version_does_not_know_or_that_are_missing_do_no_harm(engine, infra):
    job = engine.enqueue(Keep("a"))
    args = json.dumps({"label": "a", "from_the_future": [1, 2]})  # project_id is missing, it has a default
    write(infra, "UPDATE jobs SET args = %s WHERE id = %s", args, job.id)
    assert engine.runner.run_one()
    assert engine.job(job.id).status == "succeeded"
    assert engine.world() == {"a/first", "a/second"}


def test_steps_pinned_by_an_older_version_do_not_hinder_a_newer_one(engine, infra):
    job = engine.enqueue(Keep("a"))
    (claimed,) = write(infra, OLD_CLAIM, engine.name, ["control"], sorted(kinds.kinds()))
    # The older code knew one step more, called one otherwise, and did not have the second.
    write(infra, "DELETE FROM job_steps WHERE job_id = %s AND name = 'second_thing_is_there'", job.id)
    write(infra, "INSERT INTO job_steps (job_id, name, position, status) VALUES (%s, 'gone', 9, 'succeeded')", job.id)
    write(infra, OLD_RELEASE, job.id, claimed["fence"], "queued")
    assert engine.runner.run_one()
    assert engine.job(job.id).status == "succeeded"
    assert engine.world() == {"a/first", "a/second"}
    with infra.database.autocommit() as tx:
        assert {"gone", "first_thing_is_there"} <= {step["name"] for step in view.show_job(tx, job.id)["steps"]}


@pytest.fixture
def renamed(monkeypatch):
    """Have a step of a trial kind have had another name."""
    monkeypatch.setattr(kinds, "_FORMER_STEPS", dict(kinds._FORMER_STEPS))
    kinds.name_former_steps("trial.build@1", {"write_note": "note_is_written"})


def begun_by_an_older_version(engine, infra, note):
    """A job in whose middle that version left; it did not have the second thing. note: what became of that step."""
    job = engine.enqueue(Build("a"))
    (claimed,) = write(infra, OLD_CLAIM, engine.name, ["control"], sorted(kinds.kinds()))
    write(infra, "DELETE FROM job_steps WHERE job_id = %s", job.id)
    steps = {"first_thing_is_there": "succeeded", "write_note": note, "say_so": "pending"}
    for position, (name, status) in enumerate(steps.items(), 1):
        values = (job.id, name, position, status)
        write(infra, "INSERT INTO job_steps (job_id, name, position, status) VALUES (%s, %s, %s, %s)", *values)
    write(infra, OLD_RELEASE, job.id, claimed["fence"], "queued")
    return job


@pytest.mark.usefixtures("renamed")
@pytest.mark.parametrize(("note", "made"), [("succeeded", set()), ("running", {"a/note"}), ("pending", {"a/note"})])
def test_a_step_that_was_finished_under_its_former_name_is_not_done_again(engine, infra, note, made):
    job = begun_by_an_older_version(engine, infra, note)
    assert engine.runner.run_one()
    assert engine.job(job.id).status == "succeeded"
    assert engine.world() == {"a/first", "a/second"} | made
    steps = engine.steps(job.id)
    assert {name for name, status in steps.items() if status == "succeeded"} == {step.name for step in STEPS}
    assert steps.keys() - {step.name for step in STEPS} == {"say_so"}


@pytest.mark.usefixtures("renamed")
def test_a_step_that_was_done_under_its_former_name_is_undone(engine, infra):
    job = begun_by_an_older_version(engine, infra, "succeeded")
    write(infra, "INSERT INTO world (thing) VALUES ('a/first'), ('a/note')")
    BEHAVIOUR["a/second"] = GiveUp("no")
    assert engine.runner.run_one()
    assert engine.job(job.id).status == "failed"
    assert engine.world() == {"a/failed"}
    assert set(engine.steps(job.id).items()) >= {("note_is_written", "undone"), ("first_thing_is_there", "undone")}


def test_each_former_name_of_a_step_leads_to_a_step_of_today():
    assert FORMER_STEPS.keys() <= kinds.kinds().keys()
    for served, former in FORMER_STEPS.items():
        names = {step.name for step in kinds.kinds()[served].steps}
        assert set(former.values()) <= names, served
        assert not former.keys() & names, served
