"""What keeps the bytes of one project's files, by names of ours. No name of a user's gets here.

A blob is written once and never changes: it is not there until it is whole, and then it stays as it is until it is
deleted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Protocol

from infra.errors import Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.[0-9A-Za-z_-]{1,64}", re.ASCII)
_PARTIAL = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


class BlobMissing(Refused):
    """There is no blob of that name."""


class BlobBusy(Unavailable):
    """Somebody else is adding to what has come of a blob."""


class NoRoom(Refused):
    """The place is full."""


@dataclass(frozen=True)
class BlobEntry:
    """One blob, or what has come of one. modified: when it got this name or was written to, in seconds of the epoch."""

    name: str
    bytes: int
    modified: float


def blob_name(object_id: str, version: str) -> str:
    """Return the name of an object's bytes: each version has its own, and no object can have another's.

    Raises BlobMissing for what is no id or version of ours, as somebody may have written it into a row.
    """
    name = f"{object_id}.{version}"
    if not is_blob_name(name):
        raise BlobMissing("there are no bytes of this version")
    return name


def is_blob_name(name: str) -> bool:
    """Return whether a blob may be called so."""
    return _NAME.fullmatch(name) is not None


def is_partial_name(name: str) -> bool:
    """Return whether what has come of a blob may be called so."""
    return _PARTIAL.fullmatch(name) is not None


class BlobWriter(Protocol):
    """What takes the bytes of one blob. Whoever begins one ends it, by one of the last three."""

    @property
    def written(self) -> int:
        """How many bytes it has."""

    def write(self, part: bytes) -> None:
        """Add bytes. Raises NoRoom or Unavailable."""

    def commit(self, name: str) -> None:
        """Have the bytes there under this name, whole and lasting, or not at all. Raises NoRoom or Unavailable."""

    def keep(self) -> None:
        """Keep what has come, lastingly, to go on with later. Raises NoRoom or Unavailable."""

    def discard(self) -> None:
        """Drop what has come."""


class BlobStore(Protocol):
    """The place of one project's bytes. Safe to use from many threads and processes."""

    def begin(self) -> BlobWriter:
        """Begin a blob."""

    def resume(self, partial: str, received: int) -> BlobWriter:
        """Go on with what has come under this name (a UUID; 0 bytes: begin it), or what came beyond is dropped.

        Raises BlobMissing when less has come, BlobBusy while somebody else goes on with it.
        """

    def drop_partial(self, partial: str) -> None:
        """Ensure that nothing is left of what has come."""

    def open(self, name: str) -> IO[bytes]:
        """Open a blob, to be read from any place in it; it can be read to its end whatever becomes of the name.

        Raises BlobMissing or Unavailable.
        """

    def size(self, name: str) -> int:
        """Return how many bytes a blob has. Raises BlobMissing or Unavailable."""

    def copy(self, source: str, target: str) -> None:
        """Have a blob there under another name as well, lastingly. Raises BlobMissing, NoRoom or Unavailable."""

    def delete(self, name: str) -> None:
        """Ensure that there is no blob of this name. Raises Unavailable."""

    def blobs(self) -> Iterator[BlobEntry]:
        """Return every blob, in no order."""

    def partials(self) -> Iterator[BlobEntry]:
        """Return everything that has come of blobs that are not whole, in no order."""

    def remove_all(self) -> None:
        """Ensure that nothing of the project is left. Raises Unavailable."""
