"""OpenAPI 3.1, generated from the declared routes and their models."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import current_app
from pydantic.json_schema import models_json_schema

from app.http.answers import ProblemOut
from app.http.problems import MEDIA_TYPE
from app.http.routing import Call, Operation, Routes, ViewResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pydantic import BaseModel

routes = Routes("openapi")
_REF = "#/components/schemas/{model}"
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
_PATTERNS = {
    "project_id": r"^proj_[0-9a-f]{16}$",
    "job_id": r"^job_[0-9a-f]{32}$",
    "token_id": r"^tok_[0-9a-f]{32}$",
    "owner_id": r"^own_[0-9a-f]{32}$",
    "session_id": r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
}


@routes.get("/api/openapi.json", who="anyone", answers={200: None})
def openapi(_call: Call) -> ViewResponse:
    """Describes this API (OpenAPI 3.1)."""
    described: Callable[[], dict[str, Any]] = current_app.extensions["launchdb-openapi"]
    return ViewResponse(described())


def describe(operations: Iterable[Operation], *, version: str) -> dict[str, Any]:
    """Return the OpenAPI document of these routes."""
    listed = list(operations)
    schemas, definitions = _schemas(listed)
    paths: dict[str, Any] = {}
    for operation in listed:
        path = _PARAMETER.sub(r"{\1}", operation.rule)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "LaunchDB platform API", "version": version},
        "paths": paths,
        "components": {
            "schemas": definitions,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _schemas(operations: list[Operation]) -> tuple[dict[Any, Any], dict[str, Any]]:
    bodies: set[type[BaseModel]] = {operation.body for operation in operations if operation.body}
    answers: set[type[BaseModel]] = {ProblemOut}
    for operation in operations:
        answers |= {model for model in operation.answers.values() if model}
    wanted: list[Any] = [(model, "validation") for model in sorted(bodies, key=_name)]
    wanted += [(model, "serialization") for model in sorted(answers, key=_name)]
    schemas, top = models_json_schema(wanted, ref_template=_REF)
    return schemas, top["$defs"]


def _name(model: type[BaseModel]) -> str:
    return model.__name__


def _operation(operation: Operation, schemas: dict[Any, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": _parameters(operation),
        "responses": {
            str(status): _answer(operation, status, model, schemas) for status, model in operation.answers.items()
        },
    }
    problem = {"content": {MEDIA_TYPE: {"schema": schemas[(ProblemOut, "serialization")]}}}
    described["responses"]["default"] = {"description": "A problem (RFC 9457)", **problem}
    described["security"] = [] if operation.who == "anyone" else [{"bearer": []}]
    if operation.body is not None:
        required = any(field.is_required() for field in operation.body.model_fields.values())
        content = {"application/json": {"schema": schemas[(operation.body, "validation")]}}
        described["requestBody"] = {"required": required, "content": content}
    return described


def _answer(
    operation: Operation, status: int, model: type[BaseModel] | None, schemas: dict[Any, Any]
) -> dict[str, Any]:
    described: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if model is not None:
        described["content"] = {operation.media_type: {"schema": schemas[(model, "serialization")]}}
    elif status == 200:
        described["content"] = {operation.media_type: {}}
    return described


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _path_schema(name)}
        for name in _PARAMETER.findall(operation.rule)
    ]
    properties = operation.query.model_json_schema().get("properties", {})
    found += [{"name": name, "in": "query", "schema": schema} for name, schema in properties.items()]
    headers = ["Idempotency-Key", "Prefer"] if operation.keyed else []
    headers += ["Last-Event-ID"] if operation.media_type == "text/event-stream" else []
    return found + [{"name": name, "in": "header", "schema": {"type": "string"}} for name in headers]


def _path_schema(name: str) -> dict[str, Any]:
    return {"type": "string", **({"pattern": _PATTERNS[name]} if name in _PATTERNS else {})}
