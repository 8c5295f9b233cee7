"""Requests of projects' data APIs, told from all others before the framework: an id, a count and a log line each."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import structlog

from app.data.serve import wsgi
from app.data.serve.origin import NOSNIFF
from app.data.serve.projects import METHODS, route_of
from app.http.request_ids import request_id_of
from app.server.clients import client_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from app.data.serve.projects import ProjectApis, Route
    from app.http.metrics import Metrics

    WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

log = logging.getLogger("launchdb.access")


class DataFrame:
    """A WSGI application that answers for projects' data APIs, and hands on what is for nobody of them."""

    def __init__(self, app: WsgiApp, apis: ProjectApis, metrics: Metrics, trusted_proxies: str) -> None:
        self._app, self._apis, self._metrics, self._trusted_proxies = app, apis, metrics, trusted_proxies

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request, or hand it on."""
        route = route_of(wsgi.decoded_path(environ))
        if route is None:
            return self._app(environ, start)
        began, request_id = time.perf_counter(), request_id_of(environ.get("HTTP_X_REQUEST_ID", ""))
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            answer = self._apis.answer(environ, route)
            answer.headers.append(("X-Request-Id", request_id))
            if NOSNIFF not in answer.headers:
                answer.headers.append(NOSNIFF)
            self._note(environ, route, int(answer.status[:3]), time.perf_counter() - began)
        finally:
            structlog.contextvars.clear_contextvars()
        return answer(environ, start)

    def _note(self, environ: dict[str, Any], route: Route, status: int, seconds: float) -> None:
        method = environ["REQUEST_METHOD"]
        self._metrics.answered(method if method in METHODS else "OTHER", route.rule, status, seconds)
        forwarded = environ.get("HTTP_X_FORWARDED_FOR", "")
        log.info(
            "request",
            extra={
                "method": method[:16],
                "route": route.rule,
                "project_id": route.project_id,
                "status": status,
                "ms": round(seconds * 1000, 1),
                "address": client_address(environ.get("REMOTE_ADDR") or "", forwarded, self._trusted_proxies),
            },
        )
