"""What is around every request of a service of its own: health, metrics, an id, and one line in the log."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import structlog
from flask import Flask, Response, g, json, request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.http.request_ids import request_id_of

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

log = logging.getLogger("launchdb.access")
# What looks whether somebody is there pushes nothing out of the log.
WATCHED = frozenset({"/health", "/metrics"})


def framed_app(service: str, registry: CollectorRegistry | None = None) -> Flask:
    """Return an application that answers at /health, and at /metrics what the registry counts, where there is one."""
    app = Flask(service, static_folder=None)

    def health() -> Response:
        body = json.dumps({"status": "healthy", "service": service})
        return Response(body, content_type="application/json", headers={"Cache-Control": "no-store"})

    def metrics() -> Response:
        return Response(generate_latest(registry) if registry else b"", content_type=CONTENT_TYPE_LATEST)

    app.add_url_rule("/health", "health", health, methods=["GET"])
    if registry is not None:
        app.add_url_rule("/metrics", "metrics", metrics, methods=["GET"])
    app.before_request(_begin)
    app.after_request(_finish)
    app.teardown_request(_forget)
    return app


def _begin() -> None:
    g.started = time.perf_counter()
    g.request_id = request_id_of(request.headers.get("X-Request-Id", ""))
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _finish(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.request_id
    response.headers["X-Content-Type-Options"] = "nosniff"
    if request.path not in WATCHED:
        ms = round((time.perf_counter() - g.started) * 1000, 1)
        more = {"project_id": (request.view_args or {}).get("project_id")}
        log.info("request", extra={"method": request.method[:16], "status": response.status_code, "ms": ms, **more})
    return response


def _forget(_error: BaseException | None) -> None:
    structlog.contextvars.clear_contextvars()
