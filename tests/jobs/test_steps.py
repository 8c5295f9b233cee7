"""A job is carried through its steps: atomic ones commit with their checkpoint, outside ones look and act."""

from __future__ import annotations

import pytest

from infra.errors import Refused, Unavailable
from tests.jobs.trial_kinds import BEHAVIOUR, READ, Build, Keep, Nothing, Reading

STEP_NAMES = ("first_thing_is_there", "note_is_written", "second_thing_is_there")


def test_a_job_runs_its_steps_in_order_and_reports_its_result(engine):
    job = engine.enqueue(Build("a"))
    assert engine.runner.drain() == 1
    done = engine.job(job.id)
    assert (done.status, done.result, done.attempt) == ("succeeded", {"label": "a"}, 1)
    assert engine.steps(job.id) == dict.fromkeys(STEP_NAMES, "succeeded")
    assert engine.world() == {"a/first", "a/note", "a/second"}
    assert (done.progress_done, done.progress_total) == (3, 3)


def test_a_job_that_was_never_committed_does_not_exist(engine):
    class BrokenError(Exception):
        pass

    with pytest.raises(BrokenError), engine.infra.database.transaction() as tx:
        from jobs.engine.enqueue import enqueue

        enqueue(tx, Nothing())
        raise BrokenError
    assert engine.runner.drain() == 0, "A job exists exactly when the change that asked for it was committed"


def test_a_transient_fault_is_tried_again_from_the_same_step(engine):
    BEHAVIOUR["a/second"] = [Unavailable("docker is away")]
    job = engine.enqueue(Build("a"))
    engine.runner.drain()
    waiting = engine.job(job.id)
    assert waiting.status == "retrying"
    assert waiting.error["detail"] == "docker is away"
    assert waiting.run_at > waiting.updated_at or waiting.run_at >= waiting.created_at
    engine.due_now(job.id)
    engine.runner.drain()
    done = engine.job(job.id)
    assert (done.status, done.attempt, done.error) == ("succeeded", 2, None)


def test_a_finished_outside_step_is_looked_at_again_and_made_anew(engine):
    BEHAVIOUR["a/second"] = [Unavailable("away")]
    job = engine.enqueue(Build("a"))
    engine.runner.drain()
    with engine.infra.database.autocommit() as tx:
        tx.execute("DELETE FROM world WHERE thing = 'a/first'")
    engine.due_now(job.id)
    engine.runner.drain()
    assert engine.job(job.id).status == "succeeded"
    assert engine.world() == {"a/first", "a/note", "a/second"}, "What has vanished since is made again by a new attempt"


def test_an_atomic_step_is_done_once_however_often_its_job_is_tried(engine):
    BEHAVIOUR["a/second"] = [Unavailable("away")]
    job = engine.enqueue(Build("a"))
    engine.runner.drain()
    assert engine.steps(job.id)["note_is_written"] == "succeeded", (
        "An atomic step is done once, and its checkpoint says so"
    )
    engine.due_now(job.id)
    engine.runner.drain()
    assert engine.job(job.id).status == "succeeded", "An atomic step is done once however often its job is tried"


def test_what_was_begun_is_undone_newest_first(engine, infra):
    BEHAVIOUR["a/second"] = Refused("no")
    engine.enqueue(Build("a"))
    engine.runner.drain()
    with infra.database.autocommit() as tx:
        undone = [row["name"] for row in tx.rows("SELECT name FROM job_steps ORDER BY finished_at DESC")]
    assert undone == list(STEP_NAMES), "What was begun is undone newest first"


def test_a_permanent_fault_undoes_every_step_that_was_begun(engine):
    BEHAVIOUR["a/second"] = Refused("the disk quota is used up")
    job = engine.enqueue(Build("a"))
    engine.runner.drain()
    failed = engine.job(job.id)
    assert (failed.status, failed.attempt) == ("failed", 1), "What cannot succeed is not tried again"
    assert failed.error["detail"] == "the disk quota is used up"
    assert failed.error["step"] == "second_thing_is_there"
    assert engine.world() == {"a/failed"}
    assert set(engine.ledger().values()) == {"gone"}
    assert engine.steps(job.id) == dict.fromkeys(STEP_NAMES, "undone")


def test_a_fault_that_stays_fails_after_the_kinds_attempts(engine):
    BEHAVIOUR["a/first"] = Unavailable("away")
    job = engine.enqueue(Build("a"))
    for _ in range(3):
        engine.due_now(job.id)
        engine.runner.drain()
    assert engine.job(job.id).status == "failed", "A job is given up after the attempts of its kind"
    assert engine.world() == {"a/failed"}


def test_an_undo_that_fails_is_tried_again(engine):
    BEHAVIOUR["a/second"] = Refused("no")
    BEHAVIOUR["a/undo-first"] = [Unavailable("away")]
    job = engine.enqueue(Build("a"))
    engine.runner.drain()
    assert (engine.job(job.id).status, engine.job(job.id).undoing) == ("retrying", True)
    engine.due_now(job.id)
    engine.runner.drain()
    failed = engine.job(job.id)
    assert failed.status == "failed"
    assert failed.error["detail"] in ("no", "away")
    assert engine.world() == {"a/failed"}


def test_a_kind_that_keeps_leaves_its_things_for_a_retry(engine):
    BEHAVIOUR["a/second"] = [Refused("no")]
    job = engine.enqueue(Keep("a"))
    engine.runner.drain()
    assert engine.job(job.id).status == "failed"
    assert engine.world() == {"a/first"}
    from jobs.engine.commands import retry

    with engine.infra.database.transaction() as tx:
        retry(tx, job.id)
    engine.runner.drain()
    assert engine.job(job.id).status == "succeeded"
    assert engine.world() == {"a/first", "a/second"}


@pytest.mark.parametrize("fault", [ValueError("bug"), OSError(28, "No space left"), TimeoutError()])
def test_an_unexpected_fault_is_retried_and_its_text_kept_out_of_the_answer(engine, fault):
    BEHAVIOUR["a/first"] = [fault]
    job = engine.enqueue(Build("a"))
    engine.runner.drain()
    waiting = engine.job(job.id)
    assert waiting.status == "retrying"
    assert waiting.error["detail"].startswith(f"unexpected {type(fault).__name__}")


def test_a_shortage_of_our_own_is_retried_and_named(engine):
    BEHAVIOUR["a/first"] = [MemoryError()]
    job = engine.enqueue(Build("a"))
    engine.runner.drain()
    waiting = engine.job(job.id)
    assert waiting.status == "retrying"
    assert waiting.error["detail"].startswith("this process has run out of")


def test_an_atomic_step_that_fails_leaves_nothing_of_its_transaction(engine):
    BEHAVIOUR["a/note"] = [Unavailable("away")]
    job = engine.enqueue(Build("a"))
    engine.runner.drain()
    assert engine.job(job.id).status == "retrying"
    assert engine.world() == {"a/first"}


def test_an_atomic_step_is_told_what_was_read_before_its_transaction_and_has_no_way_to_the_world(engine):
    job = engine.enqueue(Reading("a"))
    assert engine.runner.drain() == 1
    assert (engine.job(job.id).status, engine.job(job.id).result) == ("succeeded", {"read": "a"})
    assert READ["at"] < READ["began"]
    for way in ("infra", "transaction", "children", "ledger", "check", "log"):
        assert not hasattr(READ["run"], way)
