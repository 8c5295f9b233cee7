"""From a request to a view and back, the same for every route of the platform API."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any, TypeVar

from flask import Blueprint, Response, g, json, request

from app.http import auth, idempotent, inputs, waiting
from app.http.context import app_context
from app.http.routing import Call, ViewResponse
from infra.errors import LockTableFull

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from app.http.routing import Operation


# The watchdog ends within moments who has taken all locks of the server.
LOCKS_SECONDS, LOCKS_PAUSE_SECONDS = 5.0, 0.05
T = TypeVar("T")


def blueprint(noun: str, operations: Iterable[Operation]) -> Blueprint:
    """Return the routes of one noun as Flask knows them."""
    made = Blueprint(noun, __name__)
    for operation in operations:
        endpoint = operation.name.partition(".")[2]
        view = _view(operation)
        made.add_url_rule(operation.rule, endpoint, view, methods=[operation.method], provide_automatic_options=False)
    return made


def _view(operation: Operation) -> Callable[..., Response]:
    def answer_request(**path: str) -> Response:
        g.operation = operation
        here = app_context()
        caller = _with_locks(lambda: auth.authenticate(here, operation, g.address))
        query = inputs.read_query(operation)
        body = inputs.read_body(operation, most=here.settings.max_body_bytes)
        call = Call(here, caller, body, query, g.address, g.request_id)
        if operation.keyed:
            done = _with_locks(lambda: idempotent.run_once(operation, call, path))
            return _render(waiting.wait_as_preferred(operation, call, done))
        answer = _with_locks(lambda: operation.view(call, **path))
        return answer if isinstance(answer, Response) else _render(answer)

    return answer_request


def _with_locks(act: Callable[[], T]) -> T:
    """Act again while somebody holds all locks of the server, as the client would be told to. Raises LockTableFull."""
    deadline = time.monotonic() + LOCKS_SECONDS
    while True:
        try:
            return act()
        except LockTableFull:
            if time.monotonic() > deadline:
                raise
        time.sleep(LOCKS_PAUSE_SECONDS)


def _render(answer: ViewResponse) -> Response:
    if answer.body is None:
        return Response(status=answer.status, headers=dict(answer.headers))
    body = json.dumps({**answer.body, **answer.once})
    response = Response(body, answer.status, headers=dict(answer.headers), content_type="application/json")
    if request.method in ("GET", "HEAD") and "no-store" not in answer.headers.get("Cache-Control", ""):
        version = body if answer.version is None else json.dumps(answer.version)
        if "ETag" not in answer.headers:
            response.set_etag(etag(version))
        response.headers.setdefault("Cache-Control", "private, no-cache")
        response.make_conditional(request)
    return response


def etag(version: Any) -> str:
    """Return the entity tag of a text."""
    return hashlib.sha256(str(version).encode()).hexdigest()[:32]
