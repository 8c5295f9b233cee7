"""Metrics of the edge: how long the certificate that clients are shown is good."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily

from infra.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from infra.edge.proxy import CaddyProxy

LOOK_SECONDS = 60.0


class EdgeMetrics:
    """Looks at the certificate at most once a minute; what Caddy does not show is no number."""

    def __init__(self, proxy: CaddyProxy) -> None:
        self._proxy = proxy
        self._looked = -LOOK_SECONDS
        self._ends: float | None = None

    def collect(self) -> Iterator[Metric]:
        """Give the metric; none while there is no TLS, or no Caddy."""
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            try:
                found = self._proxy.certificate()
            except Unavailable:
                found = None
            self._ends = None if found is None else found.not_after.timestamp()
        if self._ends is not None:
            yield GaugeMetricFamily(
                "launchdb_certificate_expiry_seconds",
                "seconds until the certificate that clients are shown ends; negative once it has",
                value=self._ends - time.time(),
            )
