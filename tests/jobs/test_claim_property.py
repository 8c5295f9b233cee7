"""Under eight claimers, crashes and cancellations: no lane runs two jobs, no limit is exceeded, order is kept."""

from __future__ import annotations

import random
import threading
import time

import pytest

from jobs.engine import table
from jobs.engine.commands import JobConflict, cancel
from jobs.engine.errors import LeaseLost
from jobs.engine.table import FencedWriter, ReleaseInto
from tests.jobs.conftest import Engine
from tests.jobs.trial_kinds import Bulk, Nothing, Turn

CLAIMERS = 8
JOBS = 240
LANES = 12

VIOLATIONS = """
SELECT lane, kind FROM (
    SELECT lane, NULL AS kind FROM jobs WHERE status IN ('running', 'cancelling') AND lane IS NOT NULL
     GROUP BY lane HAVING count(*) > 1
    UNION ALL
    SELECT NULL, kind FROM jobs WHERE status IN ('running', 'cancelling') AND kind = 'trial.bulk'
     GROUP BY kind HAVING count(*) > 2) AS found
"""


OUT_OF_ORDER = """
SELECT count(*) FROM jobs a JOIN jobs b ON a.lane = b.lane AND a.seq < b.seq AND a.finished_at > b.finished_at
 WHERE a.status = 'succeeded' AND b.status = 'succeeded'
"""


class Claimers:
    """Eight threads that claim, sometimes 'crash' (forget the job until its lease lapses) and otherwise finish."""

    def __init__(self, engine: Engine, seed: int) -> None:
        self.engine = engine
        self.seed = seed
        self.violations: list[object] = []
        self.refused = 0
        self.done = threading.Event()

    def claim_and_finish(self, number: int) -> None:
        chance = random.Random(self.seed * 100 + number)
        database = self.engine.infra.database
        while not self.done.is_set():
            with database.autocommit() as tx:
                job = table.claim(
                    tx,
                    worker=self.engine.name,
                    queues=["control", "bulk"],
                    served=self.engine.runner.serves,
                    lease_seconds=0.2,
                )
                self.violations += tx.rows(VIOLATIONS)
            if job is None:
                time.sleep(0.005)
                continue
            if chance.random() < 0.1:
                time.sleep(0.3)  # a frozen worker: it finishes too late and must be refused if somebody took over
            self.finish(job)

    def finish(self, job) -> None:
        try:
            with self.engine.infra.database.autocommit() as tx:
                FencedWriter(job.id, job.fence).release(tx, ReleaseInto("succeeded"))
        except LeaseLost:
            self.refused += 1

    def reap_and_cancel(self) -> None:
        chance = random.Random(self.seed)
        database = self.engine.infra.database
        while not self.done.is_set():
            with database.autocommit() as tx:
                for row in tx.rows(
                    "SELECT id, fence FROM jobs WHERE status IN ('running','cancelling') AND leased_until < clock_timestamp()"
                ):
                    tx.rows(
                        "SELECT * FROM release_job(%s,%s,'queued','0',true,NULL,NULL,NULL,NULL,NULL)",
                        (row["id"], row["fence"]),
                    )
                waiting = tx.rows("SELECT id FROM jobs WHERE status = 'queued'")
            if waiting and chance.random() < 0.3:
                try:
                    with database.transaction() as tx:
                        cancel(tx, chance.choice(waiting)["id"], by="the test")
                except JobConflict:
                    self.refused += 1
            time.sleep(0.02)


@pytest.mark.parametrize("seed", [1, 2])
def test_no_lane_runs_two_jobs_and_no_limit_is_exceeded_under_crashes_and_cancellations(engine, seed):
    chance = random.Random(seed)
    for number in range(JOBS):
        project = f"proj_{chance.randrange(LANES):016x}"
        engine.enqueue(chance.choice([Turn(str(number), project), Bulk(str(number), project), Nothing(str(number))]))
    claimers = Claimers(engine, seed)
    threads = [threading.Thread(target=claimers.claim_and_finish, args=(n,), daemon=True) for n in range(CLAIMERS)]
    threads.append(threading.Thread(target=claimers.reap_and_cancel, daemon=True))
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with engine.infra.database.autocommit() as tx:
            left = tx.value("SELECT count(*) FROM jobs WHERE status NOT IN ('succeeded','failed','cancelled')")
        if left == 0:
            break
        time.sleep(0.05)
    claimers.done.set()
    for thread in threads:
        thread.join(5)
    assert left == 0
    assert claimers.violations == []
    with engine.infra.database.autocommit() as tx:
        assert tx.value(OUT_OF_ORDER) == 0
