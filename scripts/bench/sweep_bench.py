"""What one sweep over 200 projects costs the database, and what such an installation costs while nothing happens.

The server counts the time that it spends on statements, for each database; what runs besides (workers' looks, the
scheduler's own sweeps) is measured over as long a pause before and taken off.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from jobs.loops.sweeper import Sweeper
from scripts.bench.figures import Figure, percentile, print_figures
from scripts.bench.installation import installation
from scripts.bench.queue_bench import idle_percent

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.bench.installation import BenchInstallation

PROJECTS, SWEEPS, ROUNDS = 200, 20, 3
# Backends report what they have counted once a second, or when they have been idle for a while.
REPORTED_SECONDS = 12.0
# The installation's own scheduler opens every database once before it is at rest.
SETTLING_SECONDS = 75.0
MOST_DATABASE_MS, MOST_IDLE_PERCENT = 100.0, 5.0


def database_ms(at: BenchInstallation) -> float:
    """Return the time that the server has spent on statements so far, all databases together."""
    with at.infra.database.autocommit() as tx:
        return float(tx.value("SELECT coalesce(sum(active_time), 0)::float8 FROM pg_stat_database"))


def database_ms_of(at: BenchInstallation, act: Callable[[], None]) -> tuple[float, float]:
    """Do something; return the database's time meanwhile, and how long it took with the wait for the count."""
    before, began = database_ms(at), time.perf_counter()
    act()
    time.sleep(REPORTED_SECONDS)
    return database_ms(at) - before, time.perf_counter() - began


def seconds_to_open_all(sweeper: Sweeper) -> float:
    """Sweep until every database has been opened; return the seconds that the sweeps took."""
    took = 0.0
    while True:
        began = time.perf_counter()
        sweeper.run_once()
        took += time.perf_counter() - began
        if sweeper.opened <= 1:
            return took
        time.sleep(1.0)


def measure_sweeps(at: BenchInstallation, sweeper: Sweeper) -> tuple[float, float]:
    """Return the database's time for one sweep, and how long one takes, the median of several rounds."""
    each, took = [], []
    for _ in range(ROUNDS):
        quiet, pause = database_ms_of(at, lambda: None)

        def act() -> None:
            for _ in range(SWEEPS):
                began = time.perf_counter()
                sweeper.run_once()
                took.append(1000 * (time.perf_counter() - began))

        busy, whole = database_ms_of(at, act)
        each.append(max(0.0, busy - quiet * whole / pause) / SWEEPS)
    return percentile(each, 0.5), percentile(took, 0.5)


def main() -> int:
    """Measure and print; return 1 when a gate is not held."""
    with installation() as at:
        for number in range(PROJECTS):
            at.create(f"sweep {number}")
        at.wait_until_quiet(900.0)
        sweeper = Sweeper(at.infra)
        first = seconds_to_open_all(sweeper)
        time.sleep(SETTLING_SECONDS)
        each, took = measure_sweeps(at, sweeper)
        idle = idle_percent(at.supervisor)
    held = each <= MOST_DATABASE_MS, idle <= MOST_IDLE_PERCENT
    print_figures(
        f"Sweep over {PROJECTS} projects",
        [
            Figure("database time of a sweep", each, "ms", aim=f"<= {MOST_DATABASE_MS:g} ms", reached=held[0]),
            Figure("a sweep from begin to end, p50", took, "ms"),
            Figure("sweeps until each database was opened once", first, "s"),
            Figure("idle, all processes", idle, "% of a core", aim=f"<= {MOST_IDLE_PERCENT:g} %", reached=held[1]),
        ],
    )
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
