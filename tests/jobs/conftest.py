"""An engine in the test's own process: a runner whose clock, beats and bells the test controls."""

from __future__ import annotations

import threading
import time
from random import Random

import psycopg
import pytest

from infra.composition import Infra
from jobs.engine import kind as kinds
from jobs.engine.enqueue import enqueue
from jobs.engine.lease import Leases
from jobs.engine.runner import Runner
from jobs.engine.table import find
from jobs.engine.worker import Liveness, worker_name
from tests.jobs import trial_kinds


class Engine:
    """One worker process's engine, run by hand."""

    def __init__(self, infra: Infra, queues=("control", "bulk")) -> None:
        self.infra = infra
        self.name = worker_name()
        self.liveness = Liveness(
            infra.database, name=self.name, queues=list(queues), threads=2, heard=lambda _payload: None
        )
        self.liveness.take()
        self.leases = Leases(infra.database, infra.settings, worker=self.name)
        self.runner = Runner(
            infra,
            self.leases,
            worker=self.name,
            queues=list(queues),
            serves=sorted(kinds.kinds()),
            losses=lambda: self.liveness.lost_count,
            random=Random(1),
        )

    def enqueue(self, arguments, **more):
        with self.infra.database.transaction() as tx:
            return enqueue(tx, arguments, **more)

    def job(self, job_id):
        with self.infra.database.autocommit() as tx:
            return find(tx, job_id)

    def steps(self, job_id):
        with self.infra.database.autocommit() as tx:
            rows = tx.rows("SELECT name, status FROM job_steps WHERE job_id = %s ORDER BY position", (job_id,))
            return {row["name"]: row["status"] for row in rows}

    def world(self):
        with self.infra.database.autocommit() as tx:
            return {row["thing"] for row in tx.rows("SELECT thing FROM world")}

    def ledger(self):
        with self.infra.database.autocommit() as tx:
            return {row["name"]: row["state"] for row in tx.rows("SELECT name, state FROM resources")}

    def due_now(self, job_id):
        """Have a back-off be over."""
        with self.infra.database.autocommit() as tx:
            tx.execute("UPDATE jobs SET run_at = now(), claim_after = now() WHERE id = %s", (job_id,))

    def in_background(self):
        """Run one job in a thread; join it with a deadline."""
        thread = threading.Thread(target=self.runner.run_one, daemon=True)
        thread.start()
        return thread

    def close(self):
        self.liveness.stop()


def wait_until(condition, seconds=60.0):
    """Wait for a state with a deadline."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "the awaited state did not come"
        time.sleep(0.01)
    return value


@pytest.fixture(autouse=True)
def world(platform_url):
    """The outside world of the trial kinds."""
    with psycopg.connect(platform_url, autocommit=True) as connection:
        connection.execute(trial_kinds.WORLD)
    trial_kinds.BEHAVIOUR.clear()
    trial_kinds.GATES.clear()
    trial_kinds.ENTERED.clear()


@pytest.fixture
def engine(infra):
    """One engine."""
    made = Engine(infra)
    yield made
    made.close()


@pytest.fixture
def other_engine(infra):
    """A second worker on the same tables."""
    made = Engine(infra)
    yield made
    made.close()


@pytest.fixture
def at_gate():
    """Have a step wait at a gate: returns (entered, gate) events for label/step."""

    def place(key):
        trial_kinds.ENTERED[key] = threading.Event()
        trial_kinds.GATES[key] = threading.Event()
        return trial_kinds.ENTERED[key], trial_kinds.GATES[key]

    yield place
    for gate in trial_kinds.GATES.values():
        gate.set()
