"""Bodies of several parts: the fields that come first, and then the file, which is handed on while it comes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from werkzeug.exceptions import HTTPException
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from app.storage.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from werkzeug.sansio.multipart import Event

# Of the fields before the file, metadata is the largest.
FIELD_BYTES_MAX, FIELDS_MAX = 1024 * 1024, 20
READ_BYTES = 262_144


@dataclass(frozen=True)
class FilePart:
    """The file of a body, and the fields that came before it.

    length  how many bytes it has, where the body says that nothing comes behind it; else None
    """

    fields: dict[str, str]
    content_type: str
    length: int | None
    chunks: Iterator[bytes]


def read_file_part(content_type: str, body_length: int | None, read: Callable[[int], bytes]) -> FilePart:
    """Read up to the file, which is the first part with a file name, whatever it is called. Raises StorageError."""
    boundary = parse_options_header(content_type)[1].get("boundary", "")
    if not boundary or not boundary.isascii() or len(boundary) > 200:
        raise _malformed()
    return _Reader(boundary.encode(), body_length, read).file_part()


class _Reader:
    def __init__(self, boundary: bytes, body_length: int | None, read: Callable[[int], bytes]) -> None:
        self._decoder = MultipartDecoder(boundary, FIELD_BYTES_MAX, max_parts=FIELDS_MAX)
        self._boundary, self._body_length, self._read = boundary, body_length, read
        self._received = 0

    def file_part(self) -> FilePart:
        fields: dict[str, str] = {}
        while True:
            event = self._next()
            if isinstance(event, Field):
                fields[event.name or ""] = self._field()
            elif isinstance(event, File):
                first = self._data()
                stated = event.headers.get("Content-Type", "")
                return FilePart(fields, stated, self._length(first), self._chunks(first))
            elif isinstance(event, Epilogue):
                raise StorageError(400, "InvalidRequest", "InvalidRequest", "The body holds no file")

    def _field(self) -> str:
        value = b""
        while True:
            part = self._data()
            value += part.data
            if len(value) > FIELD_BYTES_MAX:
                raise _malformed()
            if not part.more_data:
                return value.decode("utf-8", "replace")

    def _chunks(self, part: Data) -> Iterator[bytes]:
        while True:
            if part.data:
                yield bytes(part.data)
            if not part.more_data:
                break
            part = self._data()
        while not isinstance(self._next(), Epilogue):  # what comes behind the file is nothing of ours
            continue

    def _length(self, first: Data) -> int | None:
        if not first.more_data:
            return len(first.data)
        if self._body_length is None:
            return None
        still = self._body_length - self._received + len(self._decoder.buffer)
        return len(first.data) + still - len(b"\r\n--" + self._boundary + b"--\r\n")

    def _data(self) -> Data:
        event = self._next()
        if not isinstance(event, Data):
            raise _malformed()
        return event

    def _next(self) -> Event:
        try:
            while isinstance(event := self._decoder.next_event(), NeedData):
                part = self._read(READ_BYTES)
                self._received += len(part)
                self._decoder.receive_data(part or None)
        except (ValueError, HTTPException) as error:
            raise _malformed() from error
        return event


def _malformed() -> StorageError:
    return StorageError(400, "InvalidRequest", "InvalidRequest", "The body is no multipart form, or ended too soon")
