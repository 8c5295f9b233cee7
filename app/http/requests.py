"""What happens around every request: its id, its address, one log line, one count, and a row for what was refused."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import structlog
from flask import Flask, Response, g, request

from app.http import auth
from app.http.context import app_context
from app.http.request_ids import request_id_of
from catalog import audit
from catalog.ids import is_project_id
from infra.errors import Unavailable

if TYPE_CHECKING:
    from app.http.routing import Operation

log = logging.getLogger("launchdb.access")
# Floods and outages are counted by metrics; a row for each would make them worse.
_NOT_AUDITED = frozenset({429, 503})


def register_request_hooks(app: Flask, *, trusted_proxies: str) -> None:
    """Put the frame around every request of the application."""

    def begin() -> None:
        g.started = time.perf_counter()
        g.request_id = request_id_of(request.headers.get("X-Request-Id", ""))
        g.address = auth.address_of_client(trusted_proxies)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=g.request_id)

    app.before_request(begin)
    app.after_request(_finish)
    app.teardown_request(_forget)


def _forget(_error: BaseException | None) -> None:
    structlog.contextvars.clear_contextvars()


def _finish(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.request_id
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    for name, value in g.get("rate_headers", {}).items():
        response.headers.setdefault(name, value)
    operation: Operation | None = g.get("operation")
    if response.status_code >= 400:
        _audit_refusal(response, operation)
    seconds = time.perf_counter() - g.started
    rule = str(request.url_rule) if request.url_rule else "none"
    app_context().metrics.answered(request.method if request.url_rule else "OTHER", rule, response.status_code, seconds)
    if operation is not None and operation.limit == "none" and response.status_code < 400:
        return response  # whoever looks every few seconds whether somebody is there pushes nothing out of the log
    log.info(
        "request",
        extra={
            "method": request.method[:16],
            "route": rule,
            "project_id": (request.view_args or {}).get("project_id"),
            "job_id": (request.view_args or {}).get("job_id"),
            "status": response.status_code,
            "ms": round(seconds * 1000, 1),
            "address": g.address,
            "owner_id": g.caller.owner_id if "caller" in g else None,
        },
    )
    return response


def _audit_refusal(response: Response, operation: Operation | None) -> None:
    """Leave a row for each refused sign-in and each change that was not made."""
    status = response.status_code
    if operation is None or status in _NOT_AUDITED or not (operation.action or status == 401):
        return
    caller = g.get("caller")
    project_id = (request.view_args or {}).get("project_id", "")
    entry = audit.AuditEntry(
        actor=caller.actor if caller else "anonymous",
        action=operation.action or operation.name,
        outcome=f"refused: {g.get('problem', status)}",
        address=g.address,
        request_id=g.request_id,
        owner_id=caller.owner_id if caller else None,
        project_id=project_id if is_project_id(project_id) else None,
    )
    try:
        with app_context().infra.database.autocommit() as tx:
            audit.record(tx, entry)
    except Unavailable:
        log.warning("a refusal was not audited", extra={"action": entry.action, "outcome": entry.outcome})
