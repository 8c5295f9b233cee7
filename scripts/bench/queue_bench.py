"""How soon a job is picked up, what an idle system costs, and how fast jobs are drained beside the engine's peers.

A job of nothing needs a kind of its own, so the installation runs by the bench's Procfile, whose workers serve it too.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from jobs.engine.enqueue import enqueue
from scripts.bench.backlog import measure_backlog
from scripts.bench.figures import Figure, cpu_seconds, exit_status, percentile, print_figures, tree
from scripts.bench.installation import installation
from scripts.bench.kinds import Tick
from scripts.bench.race import PROCFILE, run_race

if TYPE_CHECKING:
    from scripts.bench.installation import BenchInstallation

PICK_UPS = 200
# Longer than every pause between two looks, so that each job meets a system at rest.
SPORADIC_SECONDS = 0.15
IDLE_SECONDS = 30.0
PICK_UP = "SELECT extract(epoch FROM started_at - created_at)::float8 FROM jobs WHERE id = %s"


def pick_up_ms(at: BenchInstallation) -> list[float]:
    """Time from the INSERT of a job to its claim, by the database's clock, one job now and then."""
    waits = []
    for _ in range(PICK_UPS):
        with at.infra.database.transaction() as tx:
            job = enqueue(tx, Tick())
        time.sleep(SPORADIC_SECONDS)
        with at.infra.database.autocommit() as tx:
            waits.append(tx.value(PICK_UP, (job.id,)))
    return [1000 * (SPORADIC_SECONDS if wait is None else wait) for wait in waits]


def idle_percent(root: int) -> float:
    """Return what a process and all its descendants use while nothing happens, in percent of one core."""
    pids = tree(root)
    before = cpu_seconds(pids)
    time.sleep(IDLE_SECONDS)
    return 100 * (cpu_seconds(pids) - before) / IDLE_SECONDS


def measure_installation(at: BenchInstallation) -> list[Figure]:
    """Measure what a person who runs an installation sees."""
    at.wait_until_quiet()
    idle = idle_percent(at.supervisor)
    waits = pick_up_ms(at)
    p50, p95 = percentile(waits, 0.5), percentile(waits, 0.95)
    return [
        Figure("sporadic pick-up, p50", p50, "ms", aim="<= 10 ms", reached=p50 <= 10),
        Figure("sporadic pick-up, p95", p95, "ms", aim="<= 25 ms", reached=p95 <= 25),
        Figure("idle, all processes", idle, "% of a core", aim="<= 5 %", reached=idle <= 5),
    ]


def main() -> int:
    """Measure and print; return 1 when a gate was missed."""
    with installation(LAUNCHDB_PROCFILE=str(PROCFILE)) as at:
        figures = measure_installation(at) + measure_backlog(at)
    figures += run_race()
    print_figures("Queue", figures)
    return exit_status(figures)


if __name__ == "__main__":
    sys.exit(main())
