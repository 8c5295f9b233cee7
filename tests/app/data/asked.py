"""A change of a schema, a request that notices it, and whether its answer is right."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

MERGES = {"prefer": "return=representation, resolution=merge-duplicates"}
WROTE = {"prefer": "return=representation, timezone=UTC"}


@dataclass(frozen=True)
class Asked:
    """A request, and status and body of its answer; a body that is a function says whether it is right."""

    method: str
    target: str
    status: int
    answer: Any = None
    body: Any = None
    headers: dict[str, str] | None = None


@dataclass(frozen=True)
class Change:
    """What is there before, the change, and who notices."""

    name: str
    before: str
    change: str
    asked: tuple[Asked, ...]


def get(target, status=200, answer=None, **headers):
    return Asked("GET", target, status, answer, None, headers.get("headers"))


def post(target, body, status=201, answer=None, headers=WROTE):
    return Asked("POST", target, status, answer, body, headers)


def patch(target, body, status=200, answer=None):
    return Asked("PATCH", target, status, answer, body, WROTE)


def code(wanted):
    return lambda body: body["code"] == wanted


def named(value: Any, **names: str) -> Any:
    """Return a value with the case's own names in it."""
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace(f"{{{name}}}", text)
        return value.replace("{{", "{").replace("}}", "}")
    if isinstance(value, dict):
        return {named(key, **names): named(each, **names) for key, each in value.items()}
    if isinstance(value, list):
        return [named(each, **names) for each in value]
    return value


def is_right(asked: Asked, status: int, text: str, **names: str) -> bool:
    """Return whether an answer is what it has to be."""
    if status != asked.status:
        return False
    body = json.loads(text) if text else None
    if callable(asked.answer):
        found = json.loads(text.replace(names["t"], "{t}")) if text else None
        return bool(asked.answer(found))
    return asked.answer is None or body == named(asked.answer, **names)
