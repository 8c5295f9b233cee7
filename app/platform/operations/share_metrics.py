"""Metrics of the shares of the API's threads: used, limit, waiting and refused, by what shares them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from app.server.shares import FIGURES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric


class ShareMetrics:
    """By lanes' kinds, never by project or client: who was refused, the doctor says."""

    def collect(self) -> Iterator[Metric]:
        """Give the metrics."""
        limit = GaugeMetricFamily("launchdb_api_share_limit", "threads that they have together", labels=["share"])
        used = GaugeMetricFamily("launchdb_api_share_used", "threads that they have now", labels=["share"])
        waiting = GaugeMetricFamily("launchdb_api_share_waiting", "requests that wait for one", labels=["share"])
        refused = CounterMetricFamily("launchdb_api_share_refused", "requests that were refused", labels=["share"])
        for kind, most, taken, wait in FIGURES.threads():
            limit.add_metric([kind], most)
            used.add_metric([kind], taken)
            waiting.add_metric([kind], wait)
            refused.add_metric([kind], FIGURES.refused[kind])
        yield from (limit, used, waiting, refused)
