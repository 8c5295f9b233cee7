"""Bytes in a folder of this machine: written to a file beside, made lasting, and then renamed into their place.

Every step goes from the folder that was opened before, and follows no link: what somebody puts there is not gone
through.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import uuid
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from infra.blobs.folders import CannotLink, open_folder, worded
from infra.blobs.store import BlobBusy, BlobEntry, BlobMissing, is_blob_name, is_partial_name
from infra.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WHOLE, COMING = "objects", "incoming"
COPIED_BYTES = 1024 * 1024


class LocalFolder:
    """One project's bytes below a folder of its own."""

    def __init__(self, root: Path, project_id: str) -> None:
        self._root, self._project = root, project_id

    def begin(self) -> LocalWriter:
        """Begin a blob."""
        return LocalWriter(self, str(uuid.uuid4()), received=0)

    def resume(self, partial: str, received: int) -> LocalWriter:
        """Go on with what has come under this name; what came beyond is dropped. Raises BlobMissing, BlobBusy."""
        if not is_partial_name(partial):
            raise BlobMissing("there is no such upload")
        return LocalWriter(self, partial, received=received)

    def drop_partial(self, partial: str) -> None:
        """Ensure that nothing is left of what has come."""
        if not is_partial_name(partial):
            return
        with suppress(BlobMissing), self._folder(COMING, make=False) as folder, worded():
            os.unlink(partial, dir_fd=folder)

    def open(self, name: str) -> IO[bytes]:
        """Open a blob. Raises BlobMissing or Unavailable."""
        with self._folder(*_place(name), make=False) as folder, worded():
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        file = os.fdopen(handle, "rb", buffering=0)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            file.close()
            raise BlobMissing("what is there is no file")
        return file

    def size(self, name: str) -> int:
        """Return how many bytes a blob has. Raises BlobMissing or Unavailable."""
        with self.open(name) as file:
            return os.fstat(file.fileno()).st_size

    def copy(self, source: str, target: str) -> None:
        """Have a blob there under another name as well: as another name of one file, where there can be such."""
        with self._folder(*_place(source), make=False) as there, self._folder(*_place(target), make=True) as here:
            try:
                with worded(), suppress(FileExistsError):
                    os.link(source, target, src_dir_fd=there, dst_dir_fd=here, follow_symlinks=False)
                    os.fsync(here)
            except CannotLink:
                self._copied(source, target)

    def delete(self, name: str) -> None:
        """Ensure that there is no blob of this name. Raises Unavailable."""
        with suppress(BlobMissing), self._folder(*_place(name), make=False) as folder, worded():
            os.unlink(name, dir_fd=folder)

    def blobs(self) -> Iterator[BlobEntry]:
        """Return every blob, in no order."""
        for first in range(256):
            with suppress(BlobMissing), self._folder(WHOLE, f"{first:02x}", make=False) as folder:
                yield from _entries(folder, is_blob_name)

    def partials(self) -> Iterator[BlobEntry]:
        """Return everything that has come of blobs that are not whole, in no order."""
        with suppress(BlobMissing), self._folder(COMING, make=False) as folder:
            yield from _entries(folder, is_partial_name)

    def remove_all(self) -> None:
        """Ensure that nothing of the project is left. Raises Unavailable."""
        with suppress(BlobMissing), worded():
            shutil.rmtree(self._root / self._project)  # follows no link itself

    def _copied(self, source: str, target: str) -> None:
        writer = self.begin()
        try:
            with self.open(source) as file:
                while part := file.read(COPIED_BYTES):
                    writer.write(part)
            writer.commit(target)
        finally:
            writer.discard()

    @contextmanager
    def _folder(self, *below: str, make: bool) -> Iterator[int]:
        """Open a folder of the project's. Raises BlobMissing when it is not there, and is not to be made."""
        with open_folder(self._root, self._project, *below, make=make) as handle:
            yield handle


class LocalWriter:
    """The file that takes the bytes of one blob."""

    def __init__(self, place: LocalFolder, partial: str, *, received: int) -> None:
        self._place, self._partial = place, partial
        flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | (0 if received else os.O_CREAT)
        with place._folder(COMING, make=True) as folder, worded():  # noqa: SLF001 - of one module
            handle = os.open(partial, flags, 0o600, dir_fd=folder)
        self._file: IO[bytes] | None = os.fdopen(handle, "wb", buffering=0)
        self._lock(handle)
        self.written = os.fstat(handle).st_size
        if self.written < received:
            self._close()
            raise BlobMissing("less has come than was said")
        if self.written > received:
            with worded():
                os.ftruncate(handle, received)
        self.written = os.lseek(handle, received, os.SEEK_SET)

    def write(self, part: bytes) -> None:
        """Add bytes. Raises NoRoom or Unavailable."""
        left = memoryview(part)
        with worded():
            while left:
                sent = os.write(self._handle, left)
                self.written += sent
                left = left[sent:]

    def commit(self, name: str) -> None:
        """Have the bytes there under this name, whole and lasting, or not at all. Raises NoRoom or Unavailable."""
        with worded():
            os.fsync(self._handle)
        with (
            self._place._folder(COMING, make=True) as source,  # noqa: SLF001
            self._place._folder(*_place(name), make=True) as target,  # noqa: SLF001
            worded(),
        ):
            os.rename(self._partial, name, src_dir_fd=source, dst_dir_fd=target)
            os.fsync(target)
        self._close()

    def keep(self) -> None:
        """Keep what has come, lastingly, to go on with later. Raises NoRoom or Unavailable."""
        with worded():
            os.fsync(self._handle)
        with self._place._folder(COMING, make=True) as folder, worded():  # noqa: SLF001
            os.fsync(folder)
        self._close()

    def discard(self) -> None:
        """Drop what has come, unless it was committed or kept."""
        if self._file is not None:
            self._close()
            self._place.drop_partial(self._partial)

    def _lock(self, handle: int) -> None:
        """Keep others away for as long as the file is open; the kernel lets go of it however we end."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._close()
            raise BlobBusy("somebody else is at it") from error

    @property
    def _handle(self) -> int:
        if self._file is None:
            raise Refused("the blob is finished")
        return self._file.fileno()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _place(name: str) -> tuple[str, str]:
    if not is_blob_name(name):
        raise BlobMissing("no blob is called so")
    return WHOLE, name[:2]


def _entries(folder: int, fits: object) -> Iterator[BlobEntry]:
    with os.scandir(folder) as found:
        for entry in found:
            if fits(entry.name) and entry.is_file(follow_symlinks=False):  # type: ignore[operator]
                with suppress(FileNotFoundError):
                    seen = entry.stat(follow_symlinks=False)
                    # A copy is a new name of an old file: its content is as old as ever, its names are not.
                    yield BlobEntry(entry.name, seen.st_size, max(seen.st_mtime, seen.st_ctime))
