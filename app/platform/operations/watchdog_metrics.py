"""Metrics of the watchdog, read when somebody asks: it runs in another process, its sums are rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily

from catalog import endings
from infra.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from infra.composition import Infra


class WatchdogMetrics:
    """How many sessions of projects were ended, by cause."""

    def __init__(self, infra: Infra) -> None:
        self._infra = infra

    def collect(self) -> Iterator[Metric]:
        """Give the metrics; none while Postgres is away."""
        try:
            with self._infra.database.autocommit() as tx:
                totals = endings.totals(tx)
        except Unavailable:
            return
        ended = CounterMetricFamily(
            "launchdb_watchdog_endings",
            "sessions of projects that went beyond a limit and were ended, or had to step back (cpu)",
            labels=("cause",),
        )
        for cause, count in totals.items():
            ended.add_metric((cause,), count)
        yield ended
