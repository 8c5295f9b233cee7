"""The third part of a set while it is written: the rows are kept aside at the dump's moment, and copied after it."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from infra.backup.archive import BackupDamaged
from infra.backup.objects.copying import CopyingInto, ObjectCopier
from infra.backup.objects.listing import StoredObject, open_lines, row_line, write_lines
from infra.backup.objects.rows import object_rows
from infra.backup.objects.totals import NO_FILES, CopiedPart
from infra.backup.set_names import listing_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import psycopg

    from infra.backup.monitor import ProgressMonitor
    from infra.backup.objects.contents import ContentStore
    from infra.backup.objects.hold import FilesHold
    from infra.backup.objects.listing import ListingFile, ObjectRow
    from infra.blobs.store import BlobStore
    from infra.gpg import Gpg


@dataclass(frozen=True)
class ObjectSource:
    """Where a project's files are while it is backed up.

    place  their bytes
    hold   what keeps Storage from removing them
    """

    place: BlobStore
    hold: FilesHold


@dataclass(frozen=True)
class PartTarget:
    """Where the files of a set go, and by what.

    folder  that of the sets
    stem    the set's name
    before  looks for the listing of the newest set of the same key
    """

    folder: Path
    stem: str
    contents: ContentStore
    gpg: Gpg
    key: str = field(repr=False)
    before: Callable[[], ListingFile | None]


class ObjectsPart:
    """Writes it."""

    def __init__(self, target: PartTarget, source: ObjectSource, monitor: ProgressMonitor) -> None:
        self._target, self._source, self._monitor = target, source, monitor
        self._rows = target.folder / f".{target.stem}.rows.zst.gpg"
        self._listing = target.folder / f".{listing_name(target.stem)}"
        self._bytes: int | None = None

    def keep_rows(self, session: psycopg.Connection[Any]) -> None:
        """Keep the rows of a snapshot aside. Raises DiskFull, psycopg.Error."""
        self._rows.unlink(missing_ok=True)
        rows = object_rows(session)
        first = next(rows, None)
        if first is not None:
            self._bytes = 0
            lines = (self._counted(row) for row in chain([first], rows))
            write_lines(lines, self._rows, self._target.gpg, self._target.key, lambda _done: self._monitor.check())

    @contextmanager
    def copied(self) -> Iterator[CopiedPart]:
        """Copy what the rows name, list it, and lend it: nobody takes it for left over while its set gets its manifest.

        Raises DiskFull, Unavailable.
        """
        target = self._target
        if self._bytes is None:
            yield NO_FILES
            return
        into = CopyingInto(target.contents, target.key, self._source.place, self._source.hold, target.folder)
        copier = ObjectCopier(into, self._monitor)
        self._listing.unlink(missing_ok=True)
        with target.contents.writing(self._monitor.check):
            with self._files_before() as before, open_lines(self._rows, target.gpg, target.key) as lines:
                rows = (StoredObject.of_line(line).row for line in lines)
                told = (found.line() for found in copier.copy(rows, before, self._bytes))
                made = write_lines(told, self._listing, target.gpg, target.key, lambda _done: None)
            target.contents.make_lasting()
            self._rows.unlink()
            yield CopiedPart(self._listing, made, copier.totals)

    def _counted(self, row: ObjectRow) -> bytes:
        self._bytes = (self._bytes or 0) + (row.size or 0)
        return row_line(row)

    @contextmanager
    def _files_before(self) -> Iterator[Iterator[StoredObject]]:
        """Lend what the set before names; a listing that does not open is none."""
        before = self._target.before()
        if before is None:
            yield iter(())
            return
        with before.open(whole=False) as found:
            yield _readable(found)


def _readable(found: Iterator[StoredObject]) -> Iterator[StoredObject]:
    with suppress(BackupDamaged):
        yield from found
