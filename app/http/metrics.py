"""Prometheus metrics of HTTP requests, in a registry of the application's own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram


class Metrics:
    """Counts answers and times them, by the rule of the route: never by the path, which has ids in it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "launchdb_http_requests", "HTTP requests answered", ("method", "route", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "launchdb_http_request_seconds", "time to answer", ("method", "route"), registry=self.registry
        )

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)
