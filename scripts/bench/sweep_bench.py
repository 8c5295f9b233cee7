"""What one sweep over 200 projects costs the database, and what such an installation costs while nothing happens.

The server counts the time that it spends on statements, for each database; what runs besides (workers' looks, the
scheduler's own sweeps) is measured over as long a pause before and taken off.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from jobs.sweeper import Sweeper
from scripts.bench.figures import Figure, percentile, print_figures
from scripts.bench.installation import installation
from scripts.bench.queue_bench import idle_percent

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.bench.installation import Installation

PROJECTS = 200
SWEEPS = 10
# Backends report what they have counted once a second, or when they have been idle for a while.
REPORTED_SECONDS = 12.0
MOST_DATABASE_MS, MOST_IDLE_PERCENT = 100.0, 5.0


def database_ms(at: Installation) -> float:
    """Return the time that the server has spent on statements so far, all databases together."""
    with at.infra.database.autocommit() as tx:
        return float(tx.value("SELECT coalesce(sum(active_time), 0)::float8 FROM pg_stat_database"))


def spent(at: Installation, act: Callable[[], None]) -> tuple[float, float]:
    """Do something; return the database's time meanwhile, and how long it took with the wait for the count."""
    before, began = database_ms(at), time.perf_counter()
    act()
    time.sleep(REPORTED_SECONDS)
    return database_ms(at) - before, time.perf_counter() - began


def main() -> int:
    """Measure and print; return 1 when a gate is not held."""
    with installation() as at:
        for number in range(PROJECTS):
            at.create(f"sweep {number}")
        at.wait_until_quiet(900.0)
        sweeper = Sweeper(at.infra)
        first = time.perf_counter()
        while sweeper.run_once() or sweeper.opened > 1:  # every database has been opened once
            time.sleep(1.0)
        first = time.perf_counter() - first
        quiet, pause = spent(at, lambda: time.sleep(1.0))
        took: list[float] = []

        def sweep() -> None:
            for _ in range(SWEEPS):
                began = time.perf_counter()
                sweeper.run_once()
                took.append(1000 * (time.perf_counter() - began))

        busy, whole = spent(at, sweep)
        each = max(0.0, busy - quiet * whole / pause) / SWEEPS
        idle = idle_percent(at.supervisor)
    held = each <= MOST_DATABASE_MS, idle <= MOST_IDLE_PERCENT
    print_figures(
        f"Sweep over {PROJECTS} projects",
        [
            Figure("database time of a sweep", each, "ms", aim=f"<= {MOST_DATABASE_MS:g} ms", reached=held[0]),
            Figure("a sweep, p50", percentile(took, 0.5), "ms"),
            Figure("until each database was opened once", first, "s"),
            Figure("idle, all processes", idle, "% of a core", aim=f"<= {MOST_IDLE_PERCENT:g} %", reached=held[1]),
        ],
    )
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
