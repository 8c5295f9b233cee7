"""What a JSON value has to be before Postgres is asked to keep it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from app.auth.errors import validation_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DEPTH_MAX = 100


def ensure_storable(value: object, name: str) -> None:
    """Raise AuthError for what no jsonb can hold: a zero byte, half a character, infinity, more than 100 levels."""
    for each, depth in _walk(value):
        if depth > DEPTH_MAX:
            raise validation_error(f"{name} is nested too deeply")
        if isinstance(each, str) and not is_storable(each):
            raise validation_error(f"{name} holds characters that cannot be stored")
        if isinstance(each, float) and not math.isfinite(each):
            raise validation_error(f"{name} holds a number that cannot be stored")


def is_storable(text: str) -> bool:
    """Return whether a text is one that Postgres can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def merged(kept: Mapping[str, object] | None, changes: Mapping[str, object]) -> dict[str, object]:
    """Return metadata with these members written into it; null takes one away."""
    return {name: value for name, value in {**(kept or {}), **changes}.items() if value is not None}


def _walk(value: object) -> Iterator[tuple[object, int]]:
    """Yield the value with all that is in it, and how deep each is. Without recursion, which ends sooner."""
    waiting = [(value, 0)]
    while waiting:
        each, depth = waiting.pop()
        yield each, depth
        if isinstance(each, dict):
            waiting += [(inner, depth + 1) for pair in each.items() for inner in pair]
        elif isinstance(each, list):
            waiting += [(inner, depth + 1) for inner in each]
