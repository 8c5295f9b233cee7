"""What a client sends to be stored: its bytes as they come, and what it says of them, in a form or without one."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.storage.errors import StorageError, invalid_mime, invalid_request
from app.storage.objects.multipart import read_file_part
from app.storage.serve.call import cut_short, refuse_unstorable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from app.storage.serve.call import StorageCall

READ_BYTES = 262_144
OCTETS, NO_CACHE = "application/octet-stream", "no-cache"
USER_METADATA_BYTES_MAX = 1024 * 1024
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MIME = re.compile(rf"{_WORD}/{_WORD}(?:\s*;\s*(?:{_WORD}=(?:{_WORD}|\"[^\"\r\n]*\"))?)*\s*", re.ASCII)
_ROBOTS = re.compile(
    r"(?:all|noindex|nofollow|none|noarchive|nosnippet|indexifembedded|notranslate|noimageindex|nocache|"
    r"max-snippet: ?-?\d+|max-image-preview: ?(?:none|standard|large)|max-video-preview: ?-?\d+|"
    r"unavailable_after: ?[\w :+,-]+)",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True)
class Incoming:
    """What comes.

    length         how many bytes there will be, or None where nobody has said
    user_metadata  the client's own, or None
    more           what else is kept of it, by member of the metadata
    etag           its entity tag without the quotes, where that does not come of its bytes
    compares_md5   whether the client compares the tag with the MD5 of what it has sent
    chunks         the bytes; raises StorageError when they end too soon
    """

    content_type: str
    cache_control: str
    user_metadata: dict[str, Any] | None
    robots: str | None
    length: int | None
    chunks: Iterator[bytes]
    more: Mapping[str, str] = field(default_factory=dict)
    etag: str | None = None
    compares_md5: bool = False

    def metadata(self) -> dict[str, Any]:
        """Return what policies can see of the bytes before they have come."""
        found: dict[str, Any] = {**self.more, "mimetype": self.content_type, "cacheControl": self.cache_control}
        return found if self.length is None else {**found, "contentLength": self.length, "size": self.length}


def incoming_of(call: StorageCall) -> Incoming:
    """Return what a request sends: a file in a form, or the body itself. Raises StorageError."""
    stated = call.headers.get("Content-Type") or OCTETS
    robots = checked_robots(call.headers.get("X-Robots-Tag"))
    if stated.partition(";")[0].strip().lower() == "multipart/form-data":
        return _of_form(call, stated, robots)
    return Incoming(
        content_type=checked_mime(stated),
        cache_control=header_line(call.headers.get("Cache-Control")) or NO_CACHE,
        user_metadata=user_metadata_of_header(call.headers.get("X-Metadata")),
        robots=robots,
        length=call.length,
        chunks=whole_body(call),
    )


def checked_mime(stated: str) -> str:
    """Return a media type that is written as one. Raises StorageError."""
    if len(stated) > 255 or not _MIME.fullmatch(stated):
        raise invalid_mime("Invalid Content-Type header")
    return stated


def checked_robots(stated: str | None) -> str | None:
    """Return what robots are told of an object; None: as usual. Raises StorageError."""
    if stated is None or not stated.strip():
        return None
    rules = [rule.strip() for rule in stated.split(",")]
    if len(stated) > 200 or not all(_ROBOTS.fullmatch(rule.rpartition("bot: ")[2]) for rule in rules):
        raise StorageError(400, "invalid_x_robots_tag", "InvalidXRobotsTag", "Invalid X-Robots-Tag header")
    return stated.strip()


def user_metadata_of(text: str) -> dict[str, Any] | None:
    """Return a client's own metadata, of a JSON object. Raises StorageError."""
    if not text.strip():
        return None
    try:
        found = json.loads(text) if len(text) <= USER_METADATA_BYTES_MAX else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise invalid_request("metadata must be a JSON object")
    refuse_unstorable(found)
    return found


def user_metadata_of_header(stated: str | None) -> dict[str, Any] | None:
    """Return a client's own metadata, of a header in base64. Raises StorageError."""
    if not stated:
        return None
    try:
        text = base64.b64decode(stated, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise invalid_request("headers/x-metadata must be base64 of a JSON object") from error
    return user_metadata_of(text)


def cache_control_of(seconds: str) -> str:
    """Return the header for what a form names in seconds; another text is one already."""
    text = header_line(seconds)
    return f"max-age={text}" if text.isdigit() and len(text) < 12 else text or NO_CACHE


def _of_form(call: StorageCall, stated: str, robots: str | None) -> Incoming:
    part = read_file_part(stated, call.length, call.body.read)
    metadata = part.fields.get("metadata") or ""
    return Incoming(
        content_type=checked_mime(part.fields.get("contentType") or part.content_type or OCTETS),
        cache_control=cache_control_of(part.fields.get("cacheControl") or ""),
        user_metadata=user_metadata_of(metadata)
        if metadata
        else user_metadata_of_header(call.headers.get("X-Metadata")),
        robots=robots,
        length=part.length,
        chunks=part.chunks,
    )


def whole_body(call: StorageCall) -> Iterator[bytes]:
    """Return the bytes of a body. Raises StorageError when it ends before its length."""
    read = 0
    while part := call.body.read(READ_BYTES):
        read += len(part)
        yield part
    if call.length is not None and read != call.length:
        raise cut_short()


def header_line(stated: str | None) -> str:
    """Return what a header says, to be sent again as it is; nothing where it cannot be."""
    text = (stated or "").strip()
    return text if text.isprintable() and text.isascii() and len(text) <= 200 else ""


def header_values(metadata: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return an object's metadata, which somebody may have written by hand."""
    return metadata if isinstance(metadata, dict) else {}
