"""Sends an object's bytes, whole or in part, so that no browser runs what a stranger has stored."""

from __future__ import annotations

import os
import re
from typing import IO, TYPE_CHECKING
from urllib.parse import quote

from app.storage.errors import StorageError
from app.storage.moments import http_date
from app.storage.objects.ranges import Unsatisfiable, byte_range, range_still_holds, verdict
from app.storage.serve.call import StorageAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.storage.objects.found import FoundObject
    from app.storage.serve.call import StorageCall

# A page would have the rights of whoever opens it, on whatever else is at this address.
_PAGES = re.compile(r"text/html|application/xhtml\+xml", re.IGNORECASE)
_ACTIVE = re.compile(
    r"image/svg\+xml|(?:text|application)/(?:xml|xslt|.*\+xml)|text/xsl|application/(?:x-)?javascript|text/javascript|multipart/.*",
    re.IGNORECASE,
)
# Even where a browser shows it: nothing in it runs, and it is nobody of this address.
SANDBOX = "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; media-src 'self' data:; sandbox"
_PLAIN_NAME = re.compile(r"[\w .,;()\[\]!@#$&+=~^-]+", re.ASCII)


def sent(call: StorageCall, found: FoundObject, file: IO[bytes], *, as_stored: bool = False) -> StorageAnswer:
    """Answer an object's bytes, or that the client has them already. Takes care of the file. Raises StorageError.

    as_stored  by its own media type, whatever that is: no browser can ask so by itself
    """
    try:
        return _sent(call, found, file, as_stored=as_stored)
    except BaseException:
        file.close()
        raise


def _sent(call: StorageCall, found: FoundObject, file: IO[bytes], *, as_stored: bool) -> StorageAnswer:
    headers = [
        ("ETag", found.etag),
        ("Last-Modified", http_date(found.updated_at)),
        ("Cache-Control", found.cache_control),
        ("Accept-Ranges", "bytes"),
        ("X-Robots-Tag", str(found.metadata.get("xRobotsTag") or "none")),
    ]
    said = verdict(call.headers, found.etag, found.updated_at)
    if said != "whole":
        file.close()
        if said == "failed":
            raise StorageError(412, "PreconditionFailed", "PreconditionFailed", "The object has changed", http=412)
        return StorageAnswer(status=304, headers=tuple(headers))
    size = os.fstat(file.fileno()).st_size if hasattr(file, "fileno") else int(found.metadata["size"])
    status, length = 200, size
    if range_still_holds(call.headers.get("If-Range"), found.etag, found.updated_at):
        try:
            part = byte_range(call.headers.get("Range"), size)
        except Unsatisfiable:
            raise _no_such_range(size) from None
        if part is not None:
            file.seek(part.start)
            status, length = 206, part.length
            headers.append(("Content-Range", f"bytes {part.start}-{part.start + part.length - 1}/{size}"))
    described = _described(found.content_type, call.query)
    if as_stored:
        described = [("Content-Type", _sendable(found.content_type)), ("Content-Security-Policy", SANDBOX)]
    headers += [("Content-Length", str(length)), *described]
    if call.method == "HEAD":
        file.close()
        return StorageAnswer(status=status, headers=tuple(headers))
    return StorageAnswer(status=status, headers=tuple(headers), file=PartOfFile(file, length))  # type: ignore[arg-type]


class PartOfFile:
    """So many bytes of a file from where it stands, for servers that read it and for those that have it sent."""

    def __init__(self, file: IO[bytes], length: int) -> None:
        self._file, self._left = file, length
        if hasattr(file, "fileno"):
            self.fileno, self.tell = file.fileno, file.tell

    def read(self, size: int = -1) -> bytes:
        """Read; nothing once all have been read."""
        found = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(found)
        return found

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _described(content_type: str, query: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the headers that say what the bytes are, and what a browser does with them."""
    stated = _sendable(content_type)
    plain = stated.partition(";")[0].strip()
    headers = [("Content-Security-Policy", SANDBOX)] if _ACTIVE.fullmatch(plain) or _PAGES.fullmatch(plain) else []
    if _PAGES.fullmatch(plain):
        stated = "text/plain" + "".join(stated.partition(";")[1:])
    headers.append(("Content-Type", stated))
    if (download := query.get("download")) is not None:
        headers.append(("Content-Disposition", attachment(download)))
    elif _ACTIVE.fullmatch(plain) and not _PAGES.fullmatch(plain) and plain.lower() != "image/svg+xml":
        headers.append(("Content-Disposition", "attachment;"))
    return headers


def _sendable(content_type: str) -> str:
    return content_type if content_type.isprintable() and content_type.isascii() else "application/octet-stream"


def attachment(name: str) -> str:
    """Return what has a browser keep a file, under this name where one is given (RFC 6266)."""
    if not name:
        return "attachment;"
    encoded = quote(name.encode("utf-8", "replace"), safe="!#$&+-.^_`|~")
    plain = name if _PLAIN_NAME.fullmatch(name) else encoded
    return f"attachment; filename={_quoted(plain)}; filename*=UTF-8''{encoded}"


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[\w!#$&+.^~%-]+", name, re.ASCII) else f'"{name}"'


def _no_such_range(size: int) -> StorageError:
    return StorageError(
        416,
        "InvalidRange",
        "InvalidRange",
        "The requested range is not satisfiable",
        http=416,
        headers=(("Content-Range", f"bytes */{size}"),),
    )
