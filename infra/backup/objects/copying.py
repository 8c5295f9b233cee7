"""Copies what the rows of a dump name into the contents of its project: what the set before has is not read again."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from hashlib import sha256
from typing import IO, TYPE_CHECKING

from infra.backup import archive
from infra.backup.archive import CHUNK_BYTES
from infra.backup.objects.listing import StoredObject
from infra.backup.objects.ordered import in_order
from infra.backup.objects.totals import CopyTotals
from infra.blobs.store import BlobMissing
from infra.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from infra.backup.monitor import ProgressMonitor
    from infra.backup.objects.contents import ContentStore
    from infra.backup.objects.hold import FilesHold
    from infra.backup.objects.listing import ObjectRow
    from infra.blobs.store import BlobStore


@dataclass(frozen=True)
class CopyingInto:
    """Where contents go, and from where.

    place  the bytes of the project's files
    hold   what keeps them there meanwhile
    room   the folder of which it is asked whether there is room
    """

    contents: ContentStore
    key: str = field(repr=False)
    place: BlobStore
    hold: FilesHold
    room: Path


class ObjectCopier:
    """Copies files, some at once; what it tells of them is in the order of their rows."""

    def __init__(self, into: CopyingInto, monitor: ProgressMonitor) -> None:
        self._into, self._monitor = into, monitor
        self._counting = threading.Lock()
        self._done = 0
        self.totals = CopyTotals()

    def copy(self, rows: Iterable[ObjectRow], before: Iterable[StoredObject], total: int) -> Iterator[StoredObject]:
        """Copy what the rows name, unless it lies there from before, and tell of each.

        rows, before  in the order of their ids
        total         bytes of all rows, about

        Raises DiskFull, Unavailable when bytes were removed meanwhile.
        """
        told = self._monitor.of_bytes(total)

        def look() -> None:
            told(self._done)
            self._into.hold.renew()

        for found in in_order(side_by_side(rows, before), self._one, look):
            self._tell(found)
            yield found

    def _one(self, of: tuple[ObjectRow, StoredObject | None], check: Callable[[], None]) -> StoredObject:
        row, known = of
        held = known.content if known is not None and known.row.version == row.version else None
        if known is not None and held is not None and self._into.contents.has(held.name, held.bytes):
            self._count(known.size)
            return StoredObject(row, held, known.size, known.sha256)
        try:
            return self._copied_again(row, check) or self._sealed(row, check)
        except BlobMissing as error:
            if not self._into.hold.confirm():
                raise Unavailable("files were removed while they were backed up") from error
            return StoredObject(row, None)

    def _tell(self, found: StoredObject) -> None:
        self.totals.objects += 1
        self.totals.bytes += found.size
        if found.content is None:
            self.totals.remark(f"{found.row.said}: there are no bytes of it")
        elif found.row.sha256 not in (None, found.sha256) or found.row.size not in (None, found.size):
            self.totals.remark(f"{found.row.said}: its bytes are not those that were stored")

    def _copied_again(self, row: ObjectRow, check: Callable[[], None]) -> StoredObject | None:
        """Return it when it is what its row says, and that content is there already."""
        contents = self._into.contents
        if row.sha256 is None or not contents.has(name := contents.name(self._into.key, row.sha256)):
            return None
        digest, size = sha256(), 0
        with self._open(row) as file:
            while part := file.read(CHUNK_BYTES):
                digest.update(part)
                size += len(part)
                self._count(len(part))
                check()
        if digest.hexdigest() != row.sha256:
            self._count(-size)
            return None
        return StoredObject(row, contents.sealed(name), size, row.sha256)

    def _sealed(self, row: ObjectRow, check: Callable[[], None]) -> StoredObject:
        contents, before = self._into.contents, 0

        def look(done: int) -> None:
            nonlocal before
            self._count(done - before)
            check()
            before = done

        with self._open(row) as file:
            archive.ensure_room(self._into.room, row.size or 0)
            put = contents.put(self._into.key, file, look)
        with self._counting:
            self.totals.added += put.added
        return StoredObject(row, put.sealed, put.bytes, put.sha256)

    def _open(self, row: ObjectRow) -> IO[bytes]:
        if row.blob is None:
            raise BlobMissing("its row names no bytes")
        return self._into.place.open(row.blob)

    def _count(self, size: int) -> None:
        with self._counting:
            self._done += size


def side_by_side(
    rows: Iterable[ObjectRow], before: Iterable[StoredObject]
) -> Iterator[tuple[ObjectRow, StoredObject | None]]:
    """Return each row with what is known of the same id from before; both are in the order of their ids."""
    known = iter(before)
    last = next(known, None)
    for row in rows:
        while last is not None and last.row.id < row.id:
            last = next(known, None)
        yield row, last if last is not None and last.row.id == row.id else None
