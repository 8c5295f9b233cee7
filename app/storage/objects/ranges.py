"""Which part of an object is asked for, and whether it is asked for at all (RFC 9110, 13 and 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.ASCII)
_TAG = re.compile(r'(?:W/)?"[^"]*"|[^\s,]+')

Verdict = Literal["whole", "unchanged", "failed"]


@dataclass(frozen=True)
class ByteRange:
    """So many bytes from a place on; length 0 only of an empty object."""

    start: int
    length: int


class Unsatisfiable(Exception):
    """No byte of what is asked for is there."""


def byte_range(stated: str | None, size: int) -> ByteRange | None:
    """Return the part that a Range header asks for, or None for all of it. Raises Unsatisfiable.

    Several parts, and what is no range of bytes, are answered by the whole, as is allowed.
    """
    found = _RANGE.fullmatch(stated.strip()) if stated else None
    if found is None or not (found[1] or found[2]):
        return None
    if found[1]:
        start, last = int(found[1]), int(found[2]) if found[2] else size - 1
        if found[2] and last < start:
            return None
    else:
        start, last = max(0, size - int(found[2])), size - 1
        if int(found[2]) == 0:
            raise Unsatisfiable
    if start >= size:
        raise Unsatisfiable
    return ByteRange(start, min(last, size - 1) - start + 1)


def verdict(headers: Mapping[str, str], etag: str, changed: datetime) -> Verdict:
    """Return whether an object is to be sent, given what the client has of it."""
    changed = changed.astimezone(UTC).replace(microsecond=0)
    if (wanted := headers.get("If-Match")) is not None:
        if not _names(wanted, etag, strong=True):
            return "failed"
    elif (limit := _date(headers.get("If-Unmodified-Since"))) is not None and changed > limit:
        return "failed"
    if (known := headers.get("If-None-Match")) is not None:
        return "unchanged" if _names(known, etag, strong=False) else "whole"
    since = _date(headers.get("If-Modified-Since"))
    return "unchanged" if since is not None and changed <= since else "whole"


def range_still_holds(stated: str | None, etag: str, changed: datetime) -> bool:
    """Return whether an If-Range header, if there is one, names what is there."""
    if not stated:
        return True
    if stated.startswith(('"', "W/")):
        return stated.strip() == etag and not etag.startswith("W/")
    since = _date(stated)
    return since is not None and changed.astimezone(UTC).replace(microsecond=0) == since


def _names(stated: str, etag: str, *, strong: bool) -> bool:
    if stated.strip() == "*":
        return True
    tags = _TAG.findall(stated)
    plain = [tag if strong else tag.removeprefix("W/") for tag in tags]
    return etag in plain or etag.strip('"') in plain


def _date(stated: str | None) -> datetime | None:
    if not stated:
        return None
    try:
        return parsedate_to_datetime(stated).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None
