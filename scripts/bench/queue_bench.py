"""How soon a job on an idle system is picked up, and what an idle system costs.

A job of nothing needs a kind of its own, so the installation runs by the bench's Procfile, whose workers serve it too.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from config.settings import CHECKOUT
from jobs.enqueue import enqueue
from scripts.bench.figures import Figure, cpu_seconds, percentile, print_figures, tree
from scripts.bench.installation import installation
from scripts.bench.kinds import Tick

if TYPE_CHECKING:
    from scripts.bench.installation import Installation

PICK_UPS = 200
# Longer than every pause between two looks, so that each job meets a system at rest.
SPORADIC_SECONDS = 0.15
IDLE_SECONDS = 30.0
DRAIN = 2000
PROCFILE = CHECKOUT / "scripts" / "bench" / "Procfile"
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


def idle_percent(root: int) -> float:
    """Return what a process and all its descendants use while nothing happens, in percent of one core."""
    pids = tree(root)
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


def main() -> None:
    """Measure and print."""
    with installation(LAUNCHDB_PROCFILE=str(PROCFILE)) as at:
        at.wait_until_quiet()
        whole = idle_percent(at.supervisor)
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
