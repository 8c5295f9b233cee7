"""A job that is taken up again: what had to last is looked at, what was done once is not done again, reports are kept."""

from __future__ import annotations

from infra.errors import Unavailable
from tests.jobs.trial_kinds import BEHAVIOUR, Consume


def test_a_finished_step_whose_work_was_used_up_is_not_done_again(engine):
    BEHAVIOUR["a/last"] = [Unavailable("away")]
    job = engine.enqueue(Consume("a"))
    engine.runner.drain()
    assert engine.job(job.id).status == "retrying"
    assert engine.world() == {"a/bread"}
    engine.due_now(job.id)
    engine.runner.drain()
    assert engine.job(job.id).status == "succeeded"
    assert engine.world() == {"a/bread"}, "the flour was not bought again, nor the bread taken away"


def test_what_finished_steps_have_found_out_is_reported_by_whoever_ends_the_job(engine):
    BEHAVIOUR["a/last"] = [Unavailable("away")]
    job = engine.enqueue(Consume("a"))
    engine.runner.drain()
    engine.due_now(job.id)
    engine.runner.drain()
    assert engine.job(job.id).result == {"flour": 1, "note": "baked", "loaves": 1}


def test_what_was_found_out_so_far_is_not_shown_before_the_job_has_succeeded(engine):
    from jobs.engine import view

    BEHAVIOUR["a/last"] = [Unavailable("away")]
    job = engine.enqueue(Consume("a"))
    engine.runner.drain()
    with engine.infra.database.autocommit() as tx:
        assert view.show_job(tx, job.id)["result"] is None


def test_a_retry_by_hand_goes_on_with_what_was_found_out(engine):
    from infra.errors import Refused
    from jobs.engine.commands import retry

    BEHAVIOUR["a/last"] = [Refused("no")]
    job = engine.enqueue(Consume("a"))
    engine.runner.drain()
    assert engine.job(job.id).status == "failed"
    with engine.infra.database.transaction() as tx:
        retry(tx, job.id)
    engine.runner.drain()
    assert engine.job(job.id).result == {"flour": 1, "note": "baked", "loaves": 1}
