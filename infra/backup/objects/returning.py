"""Reads back what a set holds of files: whether it is what was copied, and into the place where Storage serves it."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from infra.backup.archive import CHUNK_BYTES, BackupDamaged
from infra.backup.objects.ordered import in_order
from infra.blobs.store import BlobMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from infra.backup.monitor import ProgressMonitor
    from infra.backup.objects.contents import ContentStore
    from infra.backup.objects.listing import ListingFile, StoredObject
    from infra.blobs.store import BlobStore, BlobWriter


class ReturningFiles:
    """The files of one set that is whole.

    total  their bytes
    """

    def __init__(self, listing: ListingFile, contents: ContentStore, total: int) -> None:
        self._listing, self._contents, self._total = listing, contents, total
        self._done = 0

    def faults(self, monitor: ProgressMonitor, *, thorough: bool) -> Iterator[str]:
        """Return what is wrong with the copies, in words with the file's name. Raises Damaged for the listing itself.

        thorough  whether each is decrypted, and set aside when it is damaged; otherwise only one whose encrypted file
                  is another than was written
        """

        def fault(stored: StoredObject, check: Callable[[], None]) -> str | None:
            if stored.content is None:
                return None
            found = self._contents.fault(stored.content)
            if found is None and not thorough:
                self._done += stored.size
            elif found != "is missing":
                found = self._unlike(stored, check)
                if found and thorough:
                    self._contents.set_aside(stored.content.name)
            return f"{stored.row.said}: its copy {found}" if found else None

        yield from (found for found in self._each(fault, monitor) if found)

    def place(self, place: BlobStore, monitor: ProgressMonitor) -> Iterator[str]:
        """Ensure that every file's bytes are where Storage serves them; return what has none, in words with its name.

        Raises NoRoom, Unavailable, Damaged for the listing itself.
        """

        def put(stored: StoredObject, check: Callable[[], None]) -> str | None:
            name = stored.row.blob
            if stored.content is None or name is None or self._is_there(place, stored, name, check):
                return None
            try:
                self._write(place, stored, name, check)
            except BackupDamaged as error:
                return f"{stored.row.said}: its copy was changed: {error}"
            return None

        yield from (found for found in self._each(put, monitor) if found)

    def plain(self) -> Iterator[tuple[StoredObject, Iterator[bytes]]]:
        """Return each file with its bytes, which are known to be right when all are read. Raises Damaged."""
        with self._listing.open() as found:
            for stored in found:
                yield stored, iter(()) if stored.content is None else self._bytes(stored, lambda: None)

    def _each(
        self, act: Callable[[StoredObject, Callable[[], None]], str | None], monitor: ProgressMonitor
    ) -> Iterator[str | None]:
        told = monitor.of_bytes(self._total)
        with self._listing.open() as found:
            yield from in_order(found, act, lambda: told(self._done))

    def _unlike(self, stored: StoredObject, check: Callable[[], None]) -> str | None:
        try:
            for _ in self._bytes(stored, check):
                pass
        except BackupDamaged:
            return "was changed"
        return None

    def _bytes(self, stored: StoredObject, check: Callable[[], None]) -> Iterator[bytes]:
        """Return the bytes of a copy. Raises Damaged, at the latest behind the last."""
        digest, size = sha256(), 0
        if stored.content is None:
            return
        with self._contents.open(stored.content.name, self._listing.key) as plain:
            while part := plain.read(CHUNK_BYTES):
                check()
                size += len(part)
                if size > stored.size:
                    raise BackupDamaged("it holds more than was stored")
                digest.update(part)
                self._done += len(part)
                yield part
        if digest.hexdigest() != stored.sha256:
            raise BackupDamaged("it is not what was stored")

    def _is_there(self, place: BlobStore, stored: StoredObject, name: str, check: Callable[[], None]) -> bool:
        digest = sha256()
        try:
            if place.size(name) != stored.size:
                return False
            with place.open(name) as file:
                while part := file.read(CHUNK_BYTES):
                    check()
                    digest.update(part)
        except BlobMissing:
            return False
        if digest.hexdigest() == stored.sha256:
            self._done += stored.size
            return True
        return False

    def _write(self, place: BlobStore, stored: StoredObject, name: str, check: Callable[[], None]) -> None:
        writer: BlobWriter = place.begin()
        try:
            for part in self._bytes(stored, check):
                writer.write(part)
            writer.commit(name)
        finally:
            writer.discard()
