"""Files that come from elsewhere, one after the other, as the files of a set of ours."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import chain
from typing import IO, TYPE_CHECKING, cast

from infra.backup import archive
from infra.backup.archive import BackupDamaged
from infra.backup.objects.listing import StoredObject, write_lines
from infra.backup.objects.totals import NO_FILES, CopiedPart, CopyTotals
from infra.backup.set_names import listing_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.backup.monitor import ProgressMonitor
    from infra.backup.objects.listing import ComingFile
    from infra.backup.objects.part import PartTarget


@contextmanager
def received(target: PartTarget, coming: Iterator[ComingFile], monitor: ProgressMonitor) -> Iterator[CopiedPart]:
    """Keep files and list them; nobody takes them for left over while their set gets its manifest.

    Raises DiskFull, Damaged for a file that is not what is said of it.
    """
    first = next(coming, None)
    if first is None:
        yield NO_FILES
        return
    path, totals = target.folder / f".{listing_name(target.stem)}", CopyTotals()
    path.unlink(missing_ok=True)
    with target.contents.writing(monitor.check):
        kept = (_kept(target, file, totals, monitor).line() for file in chain([first], coming))
        made = write_lines(kept, path, target.gpg, target.key, lambda _done: None)
        target.contents.make_lasting()
        yield CopiedPart(path, made, totals)


def _kept(target: PartTarget, file: ComingFile, totals: CopyTotals, monitor: ProgressMonitor) -> StoredObject:
    totals.objects += 1
    totals.bytes += file.size
    if file.chunks is None:
        return StoredObject(file.row, None)
    archive.ensure_room(target.folder, file.size)
    put = target.contents.put(target.key, cast("IO[bytes]", _Chunks(file.chunks)), lambda _done: monitor.check())
    totals.added += put.added
    if (put.bytes, put.sha256) != (file.size, file.sha256):
        raise BackupDamaged(f"{file.row.said} is not what was exported")
    return StoredObject(file.row, put.sealed, put.bytes, put.sha256)


class _Chunks:
    """Pieces that are read as a file is, one at a time."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def read(self, _size: int) -> bytes:
        return next((chunk for chunk in self._chunks if chunk), b"")
