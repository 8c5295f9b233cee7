"""DBOS Transact: a workflow with recorded steps on a queue, configured in one of two ways."""

from __future__ import annotations

import time

from dbos import DBOS, DBOSConfig

from scripts.bench.peers.stopwatch import Finish, Task, report, seconds_since, task

LIMITED = "limited"


def configuration(asked: Task) -> DBOSConfig:
    """Return what DBOS is told: where its tables are, and how many threads it may use."""
    return {
        "name": "bench",
        "application_version": "1",
        "system_database_url": asked.url,
        "run_admin_server": False,
        "max_executor_threads": asked.threads,
        "log_level": "WARNING",
    }


def main() -> None:
    """Measure and report."""
    asked = task()
    finish = Finish(asked.jobs)

    def nothing() -> None:
        """Do nothing; DBOS writes down that it was done."""

    def act() -> None:
        """Run the steps."""
        for _ in range(asked.steps):
            step()
        finish.one()

    DBOS(config=configuration(asked))
    step, workflow = DBOS.step(name="nothing")(nothing), DBOS.workflow(name="act")(act)
    # First a process that listens to no queue, so that all jobs wait when the second begins.
    DBOS.listen_queues([])
    DBOS.launch()
    limits = {"worker_concurrency": asked.threads, "polling_interval_sec": 0.005} if asked.way == LIMITED else {}
    DBOS.register_queue("bench", **limits)
    start = time.perf_counter()
    for _ in range(asked.jobs):
        DBOS.enqueue_workflow("bench", workflow)
    enqueued = seconds_since(start)
    DBOS.destroy()
    DBOS(config=configuration(asked))
    start = time.perf_counter()
    DBOS.launch()
    finish.wait()
    report(asked, enqueue_seconds=enqueued, drain_seconds=seconds_since(start))
    DBOS.destroy()


if __name__ == "__main__":
    main()
