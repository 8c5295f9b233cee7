"""Whether a project takes as long when there are five hundred: one by one, as a client that waits for it sees it."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

from scripts.bench.figures import Figure
from scripts.bench.installation import installation

if TYPE_CHECKING:
    from scripts.bench.installation import BenchInstallation

MANY = 525
WINDOW = 50
FEW, PLENTY = 10, 500
WITHIN = 0.2


def provision_ms(at: BenchInstallation, number: int) -> float:
    """Time one project from its request to its end."""
    start = time.perf_counter()
    job = at.create(f"one of many {number}", wait_seconds=30)["job"]
    if job["status"] != "succeeded":
        raise RuntimeError(f"job {job['id']} is {job['status']}")
    return (time.perf_counter() - start) * 1000


def median_around(times: list[float], number: int) -> float:
    """Return the median of fifty around project `number`; of the first fifty where there are not so many before it."""
    start = max(0, number - WINDOW // 2)
    return median(times[start : start + WINDOW])


def measure_many() -> list[Figure]:
    """Make them in an installation of their own; return both medians and the gate."""
    with installation() as at:
        provision_ms(at, 0)
        times = [provision_ms(at, number) for number in range(1, MANY + 1)]
    few, plenty = median_around(times, FEW), median_around(times, PLENTY)
    return [
        Figure(f"project, median of {WINDOW} around the {FEW}th", few, "ms"),
        Figure(
            f"project, median of {WINDOW} around the {PLENTY}th",
            plenty,
            "ms",
            few,
            f"within {WITHIN:.0%}",
            plenty <= (1 + WITHIN) * few,
        ),
    ]
