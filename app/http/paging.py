"""Lists page by page: ?limit= and an opaque ?cursor=."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from app.http.problems import invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def encode_cursor(*values: str) -> str:
    """Return the cursor that names a place in a list."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None, count: int = 1) -> list[str] | None:
    """Return the values of a cursor, or None for the beginning. Raises Problem (400) for one that is not ours."""
    if cursor is None:
        return None
    try:
        values = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise invalid("?cursor", "is not a cursor of this list", status=400) from None
    if not isinstance(values, list) or len(values) != count or not all(_is_plain(value) for value in values):
        raise invalid("?cursor", "is not a cursor of this list", status=400)
    return values


def decode_number(cursor: str | None) -> int | None:
    """Return the number of a cursor, or None for the beginning. Raises Problem (400) for one that is not ours."""
    place = decode_cursor(cursor)
    if place is None:
        return None
    if not place[0].isdecimal() or len(place[0]) > 18:
        raise invalid("?cursor", "is not a cursor of this list", status=400)
    return int(place[0])


def decode_time_and_id(cursor: str | None) -> tuple[str, str] | None:
    """Return time and id of a cursor, or None for the beginning. Raises Problem (400) for one that is not ours."""
    place = decode_cursor(cursor, 2)
    if place is None:
        return None
    try:
        datetime.fromisoformat(place[0])
    except ValueError:
        raise invalid("?cursor", "is not a cursor of this list", status=400) from None
    return place[0], place[1]


def page(
    name: str, found: Sequence[Any], limit: int, *, show: Callable[[Any], Any], place: Callable[[Any], str]
) -> Any:
    """Return a page of a list that was asked for limit + 1 entries: one too many tells that there is a next page."""
    shown = found[:limit]
    return {name: [show(entry) for entry in shown], "nextCursor": place(shown[-1]) if len(found) > limit else None}


def _is_plain(value: Any) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable() and len(value) <= 64
