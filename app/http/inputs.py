"""Bodies and queries by their models; what does not fit is answered with a pointer to each fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import request
from pydantic import BaseModel, ValidationError

from app.http import json_body
from app.http.problems import Problem

if TYPE_CHECKING:
    from app.http.routing import Operation

# What pydantic would call by the names of Python.
_SAID = {"missing": "is required", "extra_forbidden": "is not known here"}


def read_query(operation: Operation) -> BaseModel:
    """Return the query parameters. Raises Problem (400) for unknown, repeated and unfit ones."""
    repeated = [name for name, values in request.args.lists() if len(values) > 1]
    if repeated:
        raise _problem(400, [{"pointer": f"?{name}", "detail": "is there twice"} for name in repeated])
    if any("\0" in value for value in request.args.values()):
        raise _problem(400, [{"pointer": "?", "detail": "must not contain the character U+0000"}])
    try:
        return operation.query.model_validate(request.args.to_dict())
    except ValidationError as error:
        raise _problem(400, _faults(error, "?")) from None


def read_body(operation: Operation, *, most: int) -> Any:
    """Return the body by the route's model, or None when the route takes none. Raises Problem."""
    if operation.body is None:
        return None
    found = json_body.read(request, most=most)
    if found is None:
        if any(field.is_required() for field in operation.body.model_fields.values()):
            raise Problem(400, "broken-json", "a JSON object is wanted")
        found = {}
    try:
        return operation.body.model_validate(found)
    except ValidationError as error:
        raise _problem(422, _faults(error, "/")) from None


def _faults(error: ValidationError, mark: str) -> list[dict[str, str]]:
    return [
        {
            "pointer": mark + "/".join(str(part).replace("~", "~0").replace("/", "~1")[:100] for part in fault["loc"]),
            "detail": _SAID.get(fault["type"], fault["msg"].removeprefix("Value error, ")),
        }
        for fault in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _problem(status: int, errors: list[dict[str, str]]) -> Problem:
    return Problem(status, "invalid-input", "the input is not valid", errors=errors)
