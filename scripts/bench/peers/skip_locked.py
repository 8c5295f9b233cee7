"""The floor: SKIP LOCKED by hand, a checkpoint is an UPDATE of the job's row, the last one is also its end."""

from __future__ import annotations

import threading
import time

import psycopg

from scripts.bench.peers.stopwatch import report, seconds_since, task

TABLE = """
CREATE TABLE floor_jobs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, status text NOT NULL DEFAULT 'queued',
                         step integer NOT NULL DEFAULT 0) WITH (fillfactor = 70);
CREATE INDEX ON floor_jobs (id) WHERE status = 'queued'"""
INSERT = "INSERT INTO floor_jobs DEFAULT VALUES"
CLAIM = """
UPDATE floor_jobs SET status = 'running' WHERE id = (
    SELECT id FROM floor_jobs WHERE status = 'queued' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id"""
STEP = "UPDATE floor_jobs SET step = %s WHERE id = %s AND status = 'running'"
END = "UPDATE floor_jobs SET step = %s, status = 'done' WHERE id = %s AND status = 'running'"


def work(url: str, steps: int) -> None:
    """Run jobs until none is queued."""
    with psycopg.connect(url, autocommit=True) as connection:
        while (job := connection.execute(CLAIM).fetchone()) is not None:
            for step in range(1, steps):
                connection.execute(STEP, (step, job[0]))
            connection.execute(END, (steps, job[0]))


def main() -> None:
    """Measure and report."""
    asked = task()
    with psycopg.connect(asked.url, autocommit=True) as connection:
        connection.execute(TABLE)
        start = time.perf_counter()
        for _ in range(asked.jobs):
            connection.execute(INSERT)
        enqueued = seconds_since(start)
    threads = [threading.Thread(target=work, args=(asked.url, asked.steps)) for _ in range(asked.threads)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report(asked, enqueue_seconds=enqueued, drain_seconds=seconds_since(start))


if __name__ == "__main__":
    main()
