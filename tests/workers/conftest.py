"""Real worker and scheduler processes on this test's own database."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import redis

from jobs.engine.enqueue import enqueue
from jobs.engine.table import find
from tests.fixtures.forked import CHECKOUT, environment_of
from tests.jobs import trial_kinds
from tests.jobs.conftest import wait_until

START = {
    "worker": "import tests.jobs.process_kinds; from workers.process import main; from config.settings import load; "
    "main(load(), ['control', 'bulk'])",
    "scheduler": "import tests.jobs.process_kinds; from jobs.loops.scheduler import main; from config.settings import load; main(load())",
}


class Processes:
    """Starts and ends the processes of one installation; everything it started is ended with the test."""

    def __init__(self, infra, log_folder: Path) -> None:
        self.infra = infra
        self.log_folder = log_folder
        self.started: list[subprocess.Popen] = []
        self.environment = environment_of(infra.settings, LAUNCHDB_DATABASE_POOL_SIZE="8")

    def start(self, role: str, **more: str) -> subprocess.Popen:
        log = (self.log_folder / f"{role}-{len(self.started)}.log").open("w")
        process = subprocess.Popen(
            [sys.executable, "-c", START[role]], cwd=CHECKOUT, env={**self.environment, **more}, stderr=log
        )
        log.close()
        self.started.append(process)
        return process

    def worker(self, **more: str) -> subprocess.Popen:
        """Start a worker and wait until it listens."""
        process = self.start("worker", **more)
        # By its own row: meanwhile others may be found dead.
        wait_until(lambda: process.pid in self.live_workers(), 60)
        return process

    def live_workers(self) -> set[int]:
        """The process ids of the workers that nobody has found dead."""
        with self.infra.database.autocommit() as tx:
            return {row["pid"] for row in tx.rows("SELECT pid FROM workers WHERE stopped_at IS NULL")}

    def enqueue(self, arguments, **more):
        with self.infra.database.transaction() as tx:
            return enqueue(tx, arguments, **more)

    def job(self, job_id):
        with self.infra.database.autocommit() as tx:
            return find(tx, job_id)

    def finished(self, job_id, seconds=60.0):
        """Wait until a job rests; return it."""
        return wait_until(lambda: (job := self.job(job_id)).final and job, seconds)

    def marks(self, thing: str) -> int:
        """How often a step of a process kind has acted."""
        with self.infra.database.autocommit() as tx:
            return tx.value("SELECT count(*) FROM marks WHERE thing = %s", (thing,))

    def end_all(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
        for process in self.started:
            process.wait(10)

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.log_folder.glob("*.log")))


@pytest.fixture
def processes(infra, platform_url, tmp_path):
    """Real processes; their logs are shown when a test fails."""
    with psycopg.connect(platform_url, autocommit=True) as connection:
        connection.execute(trial_kinds.WORLD)
        connection.execute(
            "CREATE TABLE marks (id bigint GENERATED ALWAYS AS IDENTITY, thing text, pid int, fence bigint, "
            "at timestamptz DEFAULT clock_timestamp())"
        )
        connection.execute("CREATE TABLE gates (thing text PRIMARY KEY)")
    client = redis.Redis.from_url(infra.settings.redis_url)
    client.flushall()
    client.close()
    folder = tmp_path / "logs"
    folder.mkdir()
    made = Processes(infra, folder)
    yield made
    made.end_all()
    print(made.logs())


def pause(seconds: float) -> None:
    """Wait, where the passing of time itself is what is tested."""
    time.sleep(seconds)
