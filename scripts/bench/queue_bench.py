"""How soon a job on an idle system is picked up, and what an idle system costs.

A job of nothing needs a kind of its own, so the installation's workers are replaced by as many of the bench's.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from config.settings import CHECKOUT
from infra.pipeline import spawn
from jobs.enqueue import enqueue
from scripts.bench.figures import Figure, cpu_seconds, percentile, print_figures, tree
from scripts.bench.installation import Installation, installation
from scripts.bench.kinds import Tick

if TYPE_CHECKING:
    from collections.abc import Iterator

PICK_UPS = 200
# Longer than every pause between two looks, so that each job meets a system at rest.
SPORADIC_SECONDS = 0.15
IDLE_SECONDS = 30.0
DRAIN = 2000
WORKERS = 2
WORKER = (
    "import scripts.bench.kinds; from config.settings import load; from workers.process import main;"
    " main(load(), ['control', 'bulk'])"
)
PICK_UP = "SELECT extract(epoch FROM started_at - created_at)::float8 FROM jobs WHERE id = %s"


def pick_ups_ms(at: Installation) -> list[float]:
    """Time from the INSERT of a job to its claim, by the database's clock, one job now and then."""
    waits = []
    for _ in range(PICK_UPS):
        with at.infra.database.transaction() as tx:
            job = enqueue(tx, Tick())
        time.sleep(SPORADIC_SECONDS)
        with at.infra.database.autocommit() as tx:
            waits.append(
                tx.value(
                    "SELECT extract(epoch FROM started_at - created_at)::float8 FROM jobs WHERE id = %s", (job.id,)
                )
            )
    return [1000 * (SPORADIC_SECONDS if wait is None else wait) for wait in waits]


def idle_percent(roots: list[int]) -> float:
    """Return what all processes use while nothing happens, in percent of one core."""
    pids = sorted({pid for root in roots for pid in tree(root)})
    before = cpu_seconds(pids)
    time.sleep(IDLE_SECONDS)
    return 100 * (cpu_seconds(pids) - before) / IDLE_SECONDS


def drain_rate(at: Installation) -> float:
    """Enqueue jobs of nothing while the queue is paused, then let go; return how many end a second."""
    at.http.post("/api/admin/queues/control/pause").raise_for_status()
    for _ in range(DRAIN):
        with at.infra.database.transaction() as tx:
            enqueue(tx, Tick())
    start = time.perf_counter()
    at.http.post("/api/admin/queues/control/resume").raise_for_status()
    at.wait_until_quiet()
    return DRAIN / (time.perf_counter() - start)


@contextmanager
def workers(at: Installation) -> Iterator[list[int]]:
    """Run the bench's workers; yields their process ids."""
    home = f"LAUNCHDB_HOME={at.settings.home}"
    started = [spawn(["env", home, sys.executable, "-c", WORKER], cwd=CHECKOUT, stderr=-3) for _ in range(WORKERS)]
    try:
        time.sleep(3.0)
        yield [process.pid for process in started]
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()


def main() -> None:
    """Measure and print."""
    with installation() as at:
        at.wait_until_quiet()
        whole = idle_percent([at.supervisor])
    with installation(LAUNCHDB_FORMATION="worker=0") as at, workers(at):
        waits = pick_ups_ms(at)
        rate = drain_rate(at)
    p50, p95 = percentile(waits, 0.5), percentile(waits, 0.95)
    print_figures(
        "Queue",
        [
            Figure("sporadic pick-up, p50", p50, "ms", aim="<= 10 ms", reached=p50 <= 10),
            Figure("sporadic pick-up, p95", p95, "ms", aim="<= 25 ms", reached=p95 <= 25),
            Figure("idle, all processes", whole, "% of a core", aim="<= 5 %", reached=whole <= 5),
            Figure("drain of one-step jobs", rate, "jobs/s"),
        ],
    )


if __name__ == "__main__":
    main()
