"""A dependency that is away costs no attempts: the jobs that need it wait, one tries, the first success opens the way."""

from __future__ import annotations

import pytest

from infra.postgres.cluster import Cluster
from jobs.engine import breakers, view
from tests.jobs.trial_kinds import BEHAVIOUR, Nothing


@pytest.fixture
def away(monkeypatch, infra):
    """A project cluster that nobody listens for, as the steps meet it."""
    cluster = Cluster("host=127.0.0.1 port=1 user=nobody connect_timeout=1")
    with pytest.raises(Exception, match="Postgres") as found, cluster.open_in_database("postgres", "test"):
        raise AssertionError("somebody answered")
    cluster.close()
    return found.value


def again(infra):
    """Have back-offs and the breaker's pause be over."""
    with infra.database.autocommit() as tx:
        tx.execute("UPDATE jobs SET run_at = now(), claim_after = now() WHERE status = 'retrying'")
        tx.execute("UPDATE breakers SET open_until = now() WHERE open_until IS NOT NULL")


def test_an_absent_server_snoozes_its_jobs_until_one_succeeds(engine, infra, away):
    assert away.dependency == "postgres"
    BEHAVIOUR["x/nothing"] = away
    jobs = [engine.enqueue(Nothing("x")) for _ in range(3)]
    for _job in jobs:
        engine.runner.run_one()
    with infra.database.autocommit() as tx:
        assert breakers.states(tx)[0].open
        waiting = view.show_job(tx, engine.enqueue(Nothing("y")).id)["waitingFor"]
    assert (waiting["reason"], waiting["dependency"]) == ("dependency", "postgres")
    assert waiting["at"]
    assert not engine.runner.run_one()
    before = [engine.job(job.id).attempt for job in jobs]
    for _round in range(8):  # more than the attempts of the kind
        again(infra)
        assert engine.runner.run_one()
    assert {engine.job(job.id).status for job in jobs} <= {"retrying", "succeeded"}
    attempts = [engine.job(job.id).attempt for job in jobs]
    assert attempts == before, "While what they need is away, jobs wait and lose no attempts"
    BEHAVIOUR.clear()
    again(infra)
    assert engine.runner.run_one()
    assert breakers.close_recovered(infra.database) == 1
    again(infra)
    while engine.runner.run_one():
        again(infra)
    assert {engine.job(job.id).status for job in jobs} == {"succeeded"}


def test_one_job_at_a_time_finds_out_whether_it_is_back(engine, other_engine, infra, away, at_gate):
    BEHAVIOUR["x/nothing"] = away
    for _job in range(3):
        engine.enqueue(Nothing("x"))
    for _job in range(3):
        engine.runner.run_one()
    BEHAVIOUR.clear()
    again(infra)
    entered, gate = at_gate("x/nothing")
    probe = engine.in_background()
    assert entered.wait(10)
    assert not other_engine.runner.run_one(), "One job at a time finds out whether what was away is back"
    gate.set()
    probe.join(10)
    assert breakers.close_recovered(infra.database) == 1
    again(infra)
    assert other_engine.runner.run_one()
