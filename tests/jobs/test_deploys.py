"""Deploys: old rows meet new workers, old workers meet the new schema; nothing is dropped and what waits says why."""

from __future__ import annotations

import json

import pytest

from infra.errors import Unavailable
from jobs.engine import kind as kinds
from jobs.engine import view
from jobs.engine.errors import GiveUp
from jobs.engine.runner import Runner
from tests.jobs.trial_kinds import BEHAVIOUR, Build, Keep, Nothing, Renamed

OLD_CLAIM = "SELECT id, fence, status FROM claim_job(%s, %s, %s, interval '15 s')"
OLD_RELEASE = "SELECT (released).status FROM release_job(%s, %s, %s, interval '0', false, NULL, NULL, NULL, NULL, NULL)"


def waiting(infra, job_id):
    with infra.database.autocommit() as tx:
        return view.show(tx, job_id)["waitingFor"]


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
    assert older.drain() == 1
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
        assert {"gone", "first_thing_is_there"} <= {step["name"] for step in view.show(tx, job.id)["steps"]}


def begun_by_an_older_version(engine, infra, arguments, change: str):
    """A job that an older version has pinned in its own way, and let go."""
    job = engine.enqueue(arguments)
    (claimed,) = write(infra, OLD_CLAIM, engine.name, ["control"], sorted(kinds.kinds()))
    write(infra, change, job.id)
    write(infra, OLD_RELEASE, job.id, claimed["fence"], "queued")
    return job


OLD_NAME = (
    "UPDATE job_steps SET name = 'old_first', status = 'succeeded' WHERE job_id = %s AND name = 'first_thing_is_there'"
)
NO_FIRST = "DELETE FROM job_steps WHERE job_id = %s AND name = 'first_thing_is_there'"


def test_a_step_that_is_called_otherwise_by_now_is_not_done_again(engine, infra):
    job = begun_by_an_older_version(engine, infra, Renamed("a"), OLD_NAME)
    assert engine.runner.run_one()
    assert engine.job(job.id).status == "succeeded"
    assert engine.world() == {"a/second"}
    assert list(engine.steps(job.id)) == ["first_thing_is_there", "second_thing_is_there"]


@pytest.mark.parametrize(("arguments", "before"), [(Renamed, OLD_NAME), (Build, NO_FIRST)])
def test_a_step_that_an_older_version_called_otherwise_or_did_not_have_is_undone_with_the_others(
    engine, infra, arguments, before
):
    BEHAVIOUR["a/second"] = GiveUp("never")
    job = begun_by_an_older_version(engine, infra, arguments("a"), before)
    write(infra, "INSERT INTO world VALUES ('a/first') ON CONFLICT DO NOTHING")
    assert engine.runner.run_one()
    assert engine.job(job.id).status == "failed"
    assert engine.world() - {"a/failed"} == set()
    assert set(engine.steps(job.id).values()) <= {"undone", "pending"}


def test_a_step_that_an_older_version_did_not_have_is_done_once(engine, infra):
    BEHAVIOUR["a/second"] = [Unavailable("away")]
    job = begun_by_an_older_version(engine, infra, Renamed("a"), NO_FIRST)
    assert engine.runner.run_one()
    assert list(engine.steps(job.id).items()) == [
        ("first_thing_is_there", "succeeded"),
        ("second_thing_is_there", "running"),
    ]
    write(infra, "DELETE FROM world WHERE thing = 'a/first'")
    write(infra, "UPDATE jobs SET run_at = now(), claim_after = now() WHERE id = %s", job.id)
    assert engine.runner.run_one()
    assert (engine.job(job.id).status, engine.world()) == ("succeeded", {"a/second"})
