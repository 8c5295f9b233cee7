"""The internal listener: metrics, on a Unix socket under the home's run folder, never on the public port."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, cast

from flask import Flask, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from werkzeug.serving import make_server

from app.world import EXTENSION, World
from infra.errors import Unavailable
from infra.sockets import socket_path
from jobs import view

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from infra.composition import Infra

SOCKET = "api.internal.sock"


class JobMetrics:
    """How many jobs there are in each status, counted when somebody asks."""

    def __init__(self, infra: Infra) -> None:
        self._infra = infra

    def collect(self) -> Iterator[Metric]:
        """Give the metrics; none while Postgres is away."""
        try:
            with self._infra.database.autocommit() as tx:
                counts, queues = view.counts(tx), view.queues(tx)
        except Unavailable:
            return
        jobs = GaugeMetricFamily("launchdb_jobs", "jobs by kind and status", labels=("kind", "status"))
        seconds = CounterMetricFamily("launchdb_job_seconds", "seconds jobs ran", labels=("kind", "status"))
        for row in counts:
            jobs.add_metric((row["kind"], row["status"]), row["count"])
            seconds.add_metric((row["kind"], row["status"]), row["seconds"])
        depth = GaugeMetricFamily("launchdb_queue_depth", "jobs that wait", labels=("queue",))
        for queue in queues:
            depth.add_metric((queue["name"],), queue["depth"])
        yield from (jobs, seconds, depth)


def create_internal_app(public: Flask) -> Flask:
    """Return the application of the internal listener: the metrics of a public one, and of the jobs."""
    world = cast("World", public.extensions[EXTENSION])
    world.metrics.registry.register(JobMetrics(world.infra))
    app = Flask("launchdb-internal", static_folder=None)

    def metrics() -> Response:
        return Response(generate_latest(world.metrics.registry), content_type=CONTENT_TYPE_LATEST)

    app.add_url_rule("/metrics", "metrics", metrics, provide_automatic_options=False)
    return app


def listen(public: Flask) -> None:
    """Serve the internal application on `<home>/run/api.internal.sock`, in a thread that ends with the process."""
    path = socket_path(cast("World", public.extensions[EXTENSION]).settings, SOCKET)
    path.unlink(missing_ok=True)
    server = make_server(f"unix://{path}", 0, create_internal_app(public), threaded=True)
    path.chmod(0o600)
    threading.Thread(target=server.serve_forever, name="internal", daemon=True).start()
