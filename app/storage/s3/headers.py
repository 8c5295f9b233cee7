"""What is kept of an object beside its bytes, in the headers of S3, and the conditions under which it is changed."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

from app.storage.names import checked_key
from app.storage.objects.incoming import NO_CACHE, Incoming, checked_mime, header_line, whole_body
from app.storage.objects.limits import PLACEHOLDER
from app.storage.s3 import errors
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from app.storage.objects.found import FoundObject
    from app.storage.serve.call import StorageCall
    from app.storage.serve.transaction import StorageTransaction

SQL = statements(__file__)
META, META_BYTES_MAX = "x-amz-meta-", 2048
OCTETS = "binary/octet-stream"
# Kept beside the media type, by the member of the metadata that each is.
MORE = {
    "Content-Disposition": "contentDisposition",
    "Content-Encoding": "contentEncoding",
    "Content-Language": "contentLanguage",
    "Expires": "expires",
}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}", re.ASCII)


def key_of(call: StorageCall) -> str:
    """Return the key that a request names; one with a slash at its end is the placeholder of an empty folder."""
    key = call.path["key"]
    return f"{key}{PLACEHOLDER}" if key.endswith("/") else key


def key_to_store(call: StorageCall, length: int | None) -> str:
    """Return the key under which so many bytes go. Raises StorageError."""
    key = call.path["key"]
    return checked_key(key_of(call) if length == 0 else key)


def incoming_of(call: StorageCall, chunks: Iterator[bytes] | None = None) -> Incoming:
    """Return what a request sends, described by its headers. Raises StorageError.

    chunks  the bytes; by default those of the body
    """
    return Incoming(
        content_type=checked_mime(call.headers.get("Content-Type") or OCTETS),
        cache_control=header_line(call.headers.get("Cache-Control")) or NO_CACHE,
        user_metadata=user_metadata_of(call.headers),
        robots=None,
        length=call.length if chunks is None else None,
        chunks=whole_body(call) if chunks is None else chunks,
        more=more_of(call.headers),
        compares_md5=True,
    )


def user_metadata_of(headers: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the client's own metadata. Raises StorageError when it is too large, or no text."""
    found = {
        name.lower().removeprefix(META): _text(value)
        for name, value in headers.items()
        if name.lower().startswith(META)
    }
    if sum(len(name.encode()) + len(value.encode()) for name, value in found.items()) > META_BYTES_MAX:
        raise errors.refusal("MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size")
    return found or None


def more_of(headers: Mapping[str, str]) -> dict[str, str]:
    """Return what else a request says of the bytes, by member of the metadata."""
    found = {member: header_line(headers.get(name)) for name, member in MORE.items()}
    codings = [coding.strip() for coding in found["contentEncoding"].split(",")]
    found["contentEncoding"] = ",".join(coding for coding in codings if coding and coding != "aws-chunked")
    return {member: value for member, value in found.items() if value}


def headers_of(found: FoundObject) -> list[tuple[str, str]]:
    """Return the headers that say what is kept of an object."""
    headers = [
        (name, header_line(str(found.metadata[member])))
        for name, member in MORE.items()
        if header_line(str(found.metadata.get(member) or ""))
    ]
    own = found.user_metadata if isinstance(found.user_metadata, dict) else {}
    for name, value in own.items():
        if _TOKEN.fullmatch(name) and isinstance(value, str | int | float):
            headers.append((f"{META}{name.lower()}", _header_text(str(value))))
    return headers


def is_new_only(headers: Mapping[str, str]) -> bool:
    """Return whether an object is stored only where there is none. Raises StorageError for another such condition."""
    stated = (headers.get("If-None-Match") or "").strip()
    if stated not in ("", "*"):
        raise errors.not_implemented("If-None-Match with an entity tag")
    return stated == "*"


def replaced_only(call: StorageCall, bucket: str, key: str) -> Callable[[StorageTransaction], None]:
    """Return what raises StorageError in a transaction unless there is what the header If-Match names."""
    wanted = (call.headers.get("If-Match") or "").strip().strip('"')

    def check(tx: StorageTransaction) -> None:
        if not wanted:
            return
        row = tx.row(SQL.etag, {"bucket": bucket, "name": key})
        if row is None:
            raise errors.no_such_key()
        if wanted not in ("*", str(row["etag"]).strip('"')):
            raise errors.precondition_failed()

    return check


def _text(value: str) -> str:
    found = value.encode("latin-1", "replace").decode("utf-8", "replace").strip()
    if not found.isprintable():
        raise errors.invalid_argument("The metadata of an object has to be printable")
    return found


def _header_text(value: str) -> str:
    if value.isascii() and value.isprintable():
        return value
    return f"=?UTF-8?B?{base64.b64encode(value.encode('utf-8', 'replace')).decode()}?="
