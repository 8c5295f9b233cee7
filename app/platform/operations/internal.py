"""The internal listener: metrics, on a Unix socket under the home's run folder, never on the public port."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, cast

from flask import Flask, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from werkzeug.serving import make_server

from app.http.context import EXTENSION
from app.platform.operations.backup_metrics import BackupMetrics
from app.platform.operations.disk_metrics import DiskMetrics
from app.platform.operations.edge_metrics import EdgeMetrics
from app.platform.operations.job_metrics import JobMetrics
from app.platform.operations.share_metrics import ShareMetrics
from app.platform.operations.watchdog_metrics import WatchdogMetrics
from app.server.status_line import status_line
from infra.sockets import socket_path

if TYPE_CHECKING:
    from app.http.context import AppContext

SOCKET = "api/internal.sock"


def create_internal_app(public: Flask) -> Flask:
    """Return the application of the internal listener: the metrics of a public one, and of the jobs."""
    world = cast("AppContext", public.extensions[EXTENSION])
    world.metrics.registry.register(JobMetrics(world.infra))
    world.metrics.registry.register(BackupMetrics(world.infra))
    world.metrics.registry.register(WatchdogMetrics(world.infra))
    world.metrics.registry.register(ShareMetrics())
    world.metrics.registry.register(DiskMetrics(world.settings))
    if world.infra.proxy is not None:
        world.metrics.registry.register(EdgeMetrics(world.infra.proxy))
    app = Flask("launchdb-internal", static_folder=None)

    def metrics() -> Response:
        return Response(generate_latest(world.metrics.registry), content_type=CONTENT_TYPE_LATEST)

    def usual(response: Response) -> Response:
        response.status = status_line(response.status_code)
        return response

    app.add_url_rule("/metrics", "metrics", metrics, provide_automatic_options=False)
    app.after_request(usual)
    return app


def serve_internal_app(public: Flask) -> None:
    """Serve the internal application on `<home>/run/api/internal.sock`, in a thread that ends with the process."""
    path = socket_path(cast("AppContext", public.extensions[EXTENSION]).settings, SOCKET)
    path.unlink(missing_ok=True)
    server = make_server(f"unix://{path}", 0, create_internal_app(public), threaded=True)
    path.chmod(0o600)
    threading.Thread(target=server.serve_forever, name="internal", daemon=True).start()
