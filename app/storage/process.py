"""Storage in a process of its own, behind the proxy: it knows the projects by their files and states alone."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import uuid_utils
from flask import Flask, Response, g, json, request

from app.http.cache import Cache
from app.storage.service import StorageService
from catalog import projects
from infra.composition import storage_specs
from infra.signals.limiter import BatchedRateLimiter, RateLimiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.data.serve.unserved import UnservedRequest
    from config.settings import Settings
    from infra.postgres.database import Database

log = logging.getLogger("launchdb.access")
NAME = "storage-service"


def create(database: Database, settings: Settings) -> Flask:
    """Return the application. database: the platform's, where projects' states are."""
    app = Flask(NAME, static_folder=None)
    known: Cache[str] = Cache(seconds=1.0)

    def status_of(project_id: str) -> str | None:
        return known.get(project_id, lambda: _status(database, project_id))

    counts = BatchedRateLimiter(RateLimiter(settings.redis_url))
    service = StorageService(
        settings, storage_specs(settings), status_of=status_of, wait=_wait_for_others, counted=counts.hit
    )
    app.register_blueprint(service.blueprint())
    app.add_url_rule("/health", "health", _health, methods=["GET"])
    app.before_request(_begin)
    app.after_request(_finish)
    service.begin_sweeping()
    return app


def _wait_for_others(asked: UnservedRequest, answers: Callable[[], bool]) -> bool:
    """Return whether the project serves by now: whoever wakes it is in another process."""
    del asked
    return answers()


def _status(database: Database, project_id: str) -> str | None:
    with database.autocommit() as tx:
        status = projects.status_of(tx, project_id)
    return None if status == "deleted" else status


def _health() -> Response:
    body = json.dumps({"status": "healthy", "service": NAME})
    return Response(body, content_type="application/json", headers={"Cache-Control": "no-store"})


def _begin() -> None:
    g.started, g.request_id = time.perf_counter(), uuid_utils.uuid7().hex


def _finish(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.request_id
    ms = round((time.perf_counter() - g.started) * 1000, 1)
    if request.path != "/health":
        project = (request.view_args or {}).get("project_id")
        log.info(
            "request",
            extra={"method": request.method, "status": response.status_code, "ms": ms, "project_id": project},
        )
    return response
