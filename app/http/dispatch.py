"""From a request to a view and back, the same for every route of the platform API."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, g, json, request

from app.http import auth, idempotent, inputs, waiting
from app.http.context import app_context
from app.http.routing import Call, ViewResponse
from infra.patience import act_with_locks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from app.http.routing import Operation


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
        caller = act_with_locks(lambda: auth.authenticate(here, operation, g.address))
        query = inputs.read_query(operation)
        body = inputs.read_body(operation, most=here.settings.max_body_bytes)
        call = Call(here, caller, body, query, g.address, g.request_id)
        if operation.keyed:
            done = act_with_locks(lambda: idempotent.run_once(operation, call, path))
            return _render(waiting.wait_as_preferred(operation, call, done))
        answer = act_with_locks(lambda: operation.view(call, **path))
        return answer if isinstance(answer, Response) else _render(answer)

    return answer_request


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
