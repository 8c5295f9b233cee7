"""Metrics of the disks that the installation writes to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily

from infra.disk import disk_spaces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from config.settings import Settings


class DiskMetrics:
    """How much room there is, and how much of it is kept."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def collect(self) -> Iterator[Metric]:
        """Give the metrics."""
        free = GaugeMetricFamily("launchdb_disk_free_bytes", "what may still be written there", labels=["folder"])
        for folder, megabytes in disk_spaces(self._settings):
            free.add_metric([str(folder)], megabytes * 1e6)
        yield free
        reserve = self._settings.disk_reserve_mb * 1e6
        yield GaugeMetricFamily("launchdb_disk_reserve_bytes", "with less, nothing large is begun", value=reserve)
