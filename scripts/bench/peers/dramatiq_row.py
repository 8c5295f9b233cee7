"""Raw Dramatiq with a job row written by hand: INSERT, an UPDATE at the start, one a step, one at the end."""

from __future__ import annotations

import threading
import time

import dramatiq
import psycopg
from dramatiq.brokers.redis import RedisBroker

from scripts.bench.peers.stopwatch import Finish, report, seconds_since, task

TABLE = """
CREATE TABLE row_jobs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, status text NOT NULL DEFAULT 'queued',
                       step integer NOT NULL DEFAULT 0, created_at timestamptz NOT NULL DEFAULT now(),
                       started_at timestamptz, finished_at timestamptz) WITH (fillfactor = 70)"""
INSERT = "INSERT INTO row_jobs DEFAULT VALUES RETURNING id"
START = "UPDATE row_jobs SET status = 'running', started_at = now() WHERE id = %s"
STEP = "UPDATE row_jobs SET step = %s WHERE id = %s"
END = "UPDATE row_jobs SET status = 'done', finished_at = now() WHERE id = %s"


def main() -> None:
    """Measure and report."""
    asked = task()
    broker = RedisBroker(url=asked.redis)  # type: ignore[no-untyped-call]
    broker.flush_all()
    finish, own = Finish(asked.jobs), threading.local()

    def act(job: int) -> None:
        """Do nothing, and write that down."""
        if not hasattr(own, "connection"):
            own.connection = psycopg.connect(asked.url, autocommit=True)
        own.connection.execute(START, (job,))
        # A single step needs no mark of its own beside the end's.
        for step in range(1, asked.steps + 1 if asked.steps > 1 else 1):
            own.connection.execute(STEP, (step, job))
        own.connection.execute(END, (job,))
        finish.one()

    actor = dramatiq.actor(broker=broker, actor_name="act")(act)
    with psycopg.connect(asked.url, autocommit=True) as connection:
        connection.execute(TABLE)
        start = time.perf_counter()
        for _ in range(asked.jobs):
            row = connection.execute(INSERT).fetchone()
            actor.send(row[0] if row else 0)
        enqueued = seconds_since(start)
    worker = dramatiq.Worker(broker, worker_threads=asked.threads)
    start = time.perf_counter()
    worker.start()
    finish.wait()
    report(asked, enqueue_seconds=enqueued, drain_seconds=seconds_since(start))
    worker.stop()


if __name__ == "__main__":
    main()
