"""What can be said of a bucket in a request, as it is stored."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from app.storage.errors import StorageError, invalid_mime, invalid_request

if TYPE_CHECKING:
    from collections.abc import Mapping

_SIZE = re.compile(r"\s*(\d{1,15}(?:\.\d{1,6})?)\s*(B|KB|MB|GB|TB)?\s*", re.IGNORECASE | re.ASCII)
_UNITS = {"b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "tb": 1000**4}
_MIME = re.compile(r"(?:\*/\*|[\w!#$&^.+-]+/(?:\*|[\w!#$&^.+-]+(?:\s*;\s*[\w!#$&^.+-]+=[^;]+)*))", re.ASCII)
MIME_TYPES_MAX = 1000


def fields_of(body: Mapping[str, Any], file_bytes_max: int) -> dict[str, Any]:
    """Return what a body says of a bucket, by column; what it leaves out is not there. Raises StorageError.

    file_bytes_max  what the project allows: no bucket may allow more
    """
    found: dict[str, Any] = {}
    if body.get("public") is not None:
        if not isinstance(body["public"], bool):
            raise invalid_request("body/public must be boolean")
        found["public"] = body["public"]
    if "file_size_limit" in body:
        found["file_size_limit"] = _limit(body["file_size_limit"], file_bytes_max)
    if "allowed_mime_types" in body:
        found["allowed_mime_types"] = _mime_types(body["allowed_mime_types"])
    return found


def _limit(value: Any, most: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, str) and (read := _SIZE.fullmatch(value)):
        limit = int(float(read[1]) * _UNITS[(read[2] or "B").lower()])
    elif isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        limit = value
    else:
        raise invalid_request("body/file_size_limit must be integer, string or null")
    if limit > most:
        raise StorageError(413, "Payload too large", "EntityTooLarge", "The object exceeded the maximum allowed size")
    return limit or None


def _mime_types(value: Any) -> list[str] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value) or len(value) > MIME_TYPES_MAX:
        raise invalid_request("body/allowed_mime_types must be array of strings or null")
    for each in value:
        if not _MIME.fullmatch(each):
            raise invalid_mime(f"mime type {each[:200]} is not supported")
    return value or None
