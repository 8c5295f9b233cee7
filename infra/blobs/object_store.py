"""Bytes in a bucket of an S3-compatible object store, for several machines; what is coming lies on this one.

A blob is one object, `<project>/objects/<name>`. What has come of an upload that may go on later is kept as pieces,
`<project>/incoming/<partial>/<number>.<offset>.<length>`, one for each time that it was kept: any machine can go on.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import IO, TYPE_CHECKING, Any

from infra.blobs.object_reading import ObjectReader, worded
from infra.blobs.store import BlobBusy, BlobEntry, BlobMissing, is_blob_name, is_partial_name
from infra.errors import Refused, Unavailable
from infra.files import ensure_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WHOLE, COMING = "objects", "incoming"
READ_BYTES, REMOVED_AT_ONCE = 1024 * 1024, 1000
_PIECE = re.compile(r"(\d{9})\.(\d{15})\.(\d{15})")


@dataclass(frozen=True)
class ObjectPlace:
    """A bucket. client: of boto3; spool: a folder of this machine where bytes lie until they are whole."""

    client: Any
    bucket: str
    spool: Path

    def owners(self) -> Iterator[str]:
        """Return what bytes lie below: the projects' ids, and whatever else somebody has put there."""
        with worded():
            listed = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Delimiter="/")
            for page in listed:
                yield from (entry["Prefix"].rstrip("/") for entry in page.get("CommonPrefixes", ()))


@dataclass(frozen=True)
class Piece:
    """What was kept of an upload at one time: from an offset on."""

    key: str
    start: int
    length: int


class ObjectStore:
    """One project's bytes below a prefix of its own."""

    def __init__(self, place: ObjectPlace, project_id: str) -> None:
        self._client, self._bucket, self._spool = place.client, place.bucket, place.spool
        self._project = project_id

    def begin(self) -> ObjectWriter:
        """Begin a blob."""
        return ObjectWriter(self, str(uuid.uuid4()), ([], 0), received=0)

    def resume(self, partial: str, received: int) -> ObjectWriter:
        """Go on with what has come under this name; what came beyond is dropped. Raises BlobMissing, BlobBusy."""
        if not is_partial_name(partial):
            raise BlobMissing("there is no such upload")
        return ObjectWriter(self, partial, self._chain(partial, received), received=received)

    def drop_partial(self, partial: str) -> None:
        """Ensure that nothing is left of what has come."""
        if is_partial_name(partial):
            self._remove(f"{self._project}/{COMING}/{partial}/")
            self._lock_path(partial).unlink(missing_ok=True)

    def open(self, name: str) -> IO[bytes]:
        """Open a blob. Raises BlobMissing or Unavailable."""
        return ObjectReader(self._client, self._bucket, self._key(name), self.size(name))  # type: ignore[return-value]

    def size(self, name: str) -> int:
        """Return how many bytes a blob has. Raises BlobMissing or Unavailable."""
        with worded():
            found = self._client.head_object(Bucket=self._bucket, Key=self._key(name))
        return int(found["ContentLength"])

    def copy(self, source: str, target: str) -> None:
        """Have a blob there under another name as well, made by the store itself."""
        named, key = {"Bucket": self._bucket, "Key": self._key(source)}, self._key(target)
        with worded():
            self._client.copy(named, self._bucket, key)  # a large one goes in parts, which the library decides

    def delete(self, name: str) -> None:
        """Ensure that there is no blob of this name. Raises Unavailable."""
        with suppress(BlobMissing), worded():
            self._client.delete_object(Bucket=self._bucket, Key=self._key(name))

    def blobs(self) -> Iterator[BlobEntry]:
        """Return every blob, in no order."""
        for entry in self._listed(f"{self._project}/{WHOLE}/"):
            name = entry["Key"].rpartition("/")[2]
            if is_blob_name(name):
                yield BlobEntry(name, entry["Size"], entry["LastModified"].timestamp())

    def partials(self) -> Iterator[BlobEntry]:
        """Return everything that has come of blobs that are not whole, in no order."""
        found: dict[str, tuple[int, float]] = {}
        for entry in self._listed(f"{self._project}/{COMING}/"):
            name = entry["Key"].split("/")[2]
            size, last = found.get(name, (0, 0.0))
            found[name] = size + entry["Size"], max(last, entry["LastModified"].timestamp())
        yield from (BlobEntry(name, *known) for name, known in found.items() if is_partial_name(name))

    def remove_all(self) -> None:
        """Ensure that nothing of the project is left, also of what was being sent. Raises Unavailable."""
        self._remove(f"{self._project}/")
        with worded():
            for page in self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket):
                for each in page.get("Uploads", ()):
                    if each["Key"].startswith(f"{self._project}/"):
                        self._client.abort_multipart_upload(
                            Bucket=self._bucket, Key=each["Key"], UploadId=each["UploadId"]
                        )

    def _key(self, name: str) -> str:
        if not is_blob_name(name):
            raise BlobMissing("no blob is called so")
        return f"{self._project}/{WHOLE}/{name}"

    def _lock_path(self, partial: str) -> Path:
        return self._spool / f"{self._project}.{partial}.lock"

    def _listed(self, prefix: str) -> Iterator[dict[str, Any]]:
        with worded():
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
                yield from page.get("Contents", ())

    def _remove(self, prefix: str) -> None:
        keys = [entry["Key"] for entry in self._listed(prefix)]
        for at in range(0, len(keys), REMOVED_AT_ONCE):
            named = {"Objects": [{"Key": key} for key in keys[at : at + REMOVED_AT_ONCE]], "Quiet": True}
            with worded():
                failed = self._client.delete_objects(Bucket=self._bucket, Delete=named).get("Errors")
            if failed:
                raise Unavailable(f"the object store did not delete: {failed[0].get('Code')}")

    def _chain(self, partial: str, received: int) -> tuple[list[Piece], int]:
        """Return the pieces that are what was received, and the number of the next. Raises BlobMissing when less came.

        A later piece takes the place of whatever was from its offset on.
        """
        kept: list[Piece] = []
        number = 0
        for entry in self._listed(f"{self._project}/{COMING}/{partial}/"):  # in the order of their names
            found = _PIECE.fullmatch(entry["Key"].rpartition("/")[2])
            if found is None:
                continue
            number = int(found[1]) + 1
            kept = [*_cut(kept, int(found[2])), Piece(entry["Key"], int(found[2]), int(found[3]))]
        chain = _cut(kept, received)
        if sum(piece.length for piece in chain) != received or any(
            piece.start + piece.length != behind.start for piece, behind in pairwise(chain)
        ):
            raise BlobMissing("less has come than was said")
        return chain, number


def _cut(pieces: list[Piece], end: int) -> list[Piece]:
    """Return what of the pieces is before an offset."""
    return [replace(piece, length=min(piece.length, end - piece.start)) for piece in pieces if piece.start < end]


class ObjectWriter:
    """Takes the bytes of one blob into a file of this machine's, until they are sent where they stay."""

    def __init__(self, store: ObjectStore, partial: str, kept: tuple[list[Piece], int], *, received: int) -> None:
        self._store, self._partial, self._received = store, partial, received
        self._pieces, self._number = kept
        ensure_folder(store._spool, mode=0o700)  # noqa: SLF001 - of one module
        self._lock = os.open(store._lock_path(partial), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)  # noqa: SLF001
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise BlobBusy("somebody else is at it") from error
        self._file: IO[bytes] | None = tempfile.TemporaryFile(dir=store._spool)  # noqa: SIM115, SLF001
        self.written = received

    def write(self, part: bytes) -> None:
        """Add bytes. Raises NoRoom or Unavailable."""
        with worded():
            self._open_file.write(part)
        self.written += len(part)

    def commit(self, name: str) -> None:
        """Have the bytes there under this name, whole and lasting, or not at all. Raises NoRoom or Unavailable."""
        store = self._store
        self._send(store._key(name), _Joined(store, self._pieces, self._open_file))  # noqa: SLF001
        if self._received:
            store.drop_partial(self._partial)
        self._close()

    def keep(self) -> None:
        """Keep what has come, lastingly, to go on with later. Raises NoRoom or Unavailable."""
        store, length = self._store, self.written - self._received
        if length or not self._received:
            piece = f"{self._number:09d}.{self._received:015d}.{length:015d}"
            self._open_file.seek(0)
            self._send(f"{store._project}/{COMING}/{self._partial}/{piece}", self._open_file)  # noqa: SLF001
        self._close()

    def discard(self) -> None:
        """Drop what has come, unless it was committed or kept."""
        if self._file is not None:
            self._close()
            self._store.drop_partial(self._partial)

    @property
    def _open_file(self) -> IO[bytes]:
        if self._file is None:
            raise Refused("the blob is finished")
        return self._file

    def _send(self, key: str, source: Any) -> None:
        store = self._store
        with worded():
            store._client.upload_fileobj(source, store._bucket, key)  # noqa: SLF001

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            self._store._lock_path(self._partial).unlink(missing_ok=True)  # noqa: SLF001
            os.close(self._lock)


class _Joined:
    """Pieces, and behind them a file, as one stream of bytes."""

    def __init__(self, store: ObjectStore, pieces: list[Piece], last: IO[bytes]) -> None:
        last.seek(0)
        self._parts = self._all(store, pieces, last)
        self._left = b""

    def read(self, size: int = -1) -> bytes:
        """Read so many bytes, or fewer at the end."""
        while (size < 0 or len(self._left) < size) and (part := next(self._parts, b"")):
            self._left += part
        found, self._left = (self._left, b"") if size < 0 else (self._left[:size], self._left[size:])
        return found

    @staticmethod
    def _all(store: ObjectStore, pieces: list[Piece], last: IO[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            with ObjectReader(store._client, store._bucket, piece.key, piece.length) as file:  # noqa: SLF001
                while part := file.read(READ_BYTES):
                    yield part
        while part := last.read(READ_BYTES):
            yield part
