"""Prometheus metrics of HTTP requests, in a registry of the application's own."""

from __future__ import annotations

import bisect
import threading
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


class Answered(NamedTuple):
    """How many answers there were of one kind, how many seconds they took, and how many within each of the bounds."""

    method: str
    route: str
    status: int
    seconds: float
    within: list[int]


class Metrics:
    """Counts answers and times them, by the rule of the route: never by the path, which has ids in it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._seconds: dict[tuple[str, str, int], float] = {}
        self._within: dict[tuple[str, str, int], list[int]] = {}
        self.registry.register(self)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer."""
        key, bucket = (method, route, status), bisect.bisect_left(BOUNDS, seconds)
        with self._lock:
            self._seconds[key] = self._seconds.get(key, 0.0) + seconds
            self._row(key)[bucket] += 1

    def take(self) -> list[Answered]:
        """Return what was counted, and begin anew: for another process to add."""
        with self._lock:
            taken = [Answered(*key, self._seconds[key], row) for key, row in self._within.items()]
            self._seconds, self._within = {}, {}
        return taken

    def add(self, told: list[Answered]) -> None:
        """Add what another process has counted."""
        with self._lock:
            for each in told:
                key = (each.method, each.route, each.status)
                self._seconds[key] = self._seconds.get(key, 0.0) + each.seconds
                self._within[key] = [mine + more for mine, more in zip(self._row(key), each.within, strict=True)]

    def collect(self) -> Iterator[Metric]:
        """Give the metrics."""
        counted = CounterMetricFamily(
            "launchdb_http_requests", "HTTP requests answered", labels=["method", "route", "status"]
        )
        timed = HistogramMetricFamily("launchdb_http_request_seconds", "time to answer", labels=["method", "route"])
        with self._lock:
            rows = [(key, self._seconds[key], row.copy()) for key, row in self._within.items()]
        sums: dict[tuple[str, str], tuple[float, list[int]]] = {}
        for (method, route, status), seconds, row in rows:
            counted.add_metric([method, route, str(status)], sum(row))
            before, within = sums.get((method, route), (0.0, [0] * len(row)))
            sums[method, route] = before + seconds, [one + more for one, more in zip(within, row, strict=True)]
        for (method, route), (seconds, within) in sums.items():
            timed.add_metric([method, route], _cumulative(within), seconds)
        yield from (counted, timed)

    def _row(self, key: tuple[str, str, int]) -> list[int]:
        return self._within.setdefault(key, [0] * (len(BOUNDS) + 1))


def _cumulative(within: list[int]) -> list[tuple[str, float]]:
    return [(str(bound), sum(within[: number + 1])) for number, bound in enumerate((*BOUNDS, "+Inf"))]
