"""What was made of a project's blobs, and can be made again: as much as fits stays, beside them on this machine."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from infra.blobs.folders import open_folder, worded
from infra.blobs.store import BlobMissing, is_blob_name
from infra.errors import InfraError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

FOLDER = "results"
BYTES_MAX = 256 * 1024 * 1024
UNUSED_SECONDS = 30 * 86_400
# Once a share of it has come, the least used ones go, until there is room for this share again.
SHARE = 8


@dataclass(frozen=True)
class _Result:
    """One file. used: when somebody had it last, in seconds of the epoch."""

    blob: str
    name: str
    size: int
    used: float


class ResultFolder:
    """One project's results. Safe to use from many threads and processes.

    bytes_max  how much may stay, but for a share that has just come
    """

    def __init__(self, root: Path, project_id: str, bytes_max: int = BYTES_MAX) -> None:
        self._root, self._project, self._bytes_max = root, project_id, bytes_max
        self._unswept = bytes_max  # what others have left is looked at with the first one

    def open(self, blob: str, stem: str) -> tuple[str, IO[bytes]] | None:
        """Return the kind of a result, and its bytes; None when it is not there.

        stem  names it among the results of this blob: letters and digits
        """
        with suppress(InfraError), self._folder(blob, make=False) as folder:
            name = next((each for each in _names(folder) if each.partition(".")[0] == stem), None)
            if name is not None:
                with worded():
                    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
                os.utime(handle)
                return name.partition(".")[2], os.fdopen(handle, "rb", buffering=0)
        return None

    def keep(self, blob: str, stem: str, kind: str, content: bytes) -> IO[bytes]:
        """Keep a result, where there is room, and return its bytes. kind: a word, which `open` returns."""
        file = self._written(blob, stem, kind, content)
        self._unswept += len(content)
        if self._unswept >= self._bytes_max // SHARE:
            self._unswept = 0
            self.trim()
        return file if file is not None else _in_memory(content)

    def drop(self, blob: str) -> None:
        """Ensure that nothing of a blob is left."""
        if is_blob_name(blob):
            with suppress(InfraError), open_folder(self._root, self._project, FOLDER, blob[:2], make=False) as folder:
                shutil.rmtree(blob, ignore_errors=True, dir_fd=folder)

    def trim(self) -> None:
        """Drop what nobody has used for a month, and of the others the least used until the rest fits."""
        found = sorted(self._all(), key=lambda result: result.used, reverse=True)
        oldest, room = time.time() - UNUSED_SECONDS, self._bytes_max - self._bytes_max // SHARE
        for result in found:
            room -= result.size
            if room < 0 or result.used < oldest:
                self._remove(result)

    def size(self) -> int:
        """Return how much there is."""
        return sum(result.size for result in self._all())

    def blobs(self) -> set[str]:
        """Return the names of the blobs of which there are results."""
        return {result.blob for result in self._all()}

    def _written(self, blob: str, stem: str, kind: str, content: bytes) -> IO[bytes] | None:
        coming = f".{uuid.uuid4()}"
        with suppress(InfraError), self._folder(blob, make=True) as folder:
            with worded():
                handle = os.open(coming, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
            file = os.fdopen(handle, "r+b", buffering=0)
            try:
                with worded():
                    _write(handle, content)
                    os.rename(coming, f"{stem}.{kind}", src_dir_fd=folder, dst_dir_fd=folder)
            except InfraError:
                file.close()
                os.unlink(coming, dir_fd=folder)
                raise
            file.seek(0)
            return file
        return None

    def _all(self) -> Iterator[_Result]:
        for first in range(256):
            with suppress(InfraError), self._folder(f"{first:02x}", make=False, above=True) as folder:
                for blob in _names(folder):
                    yield from self._of(blob)

    def _of(self, blob: str) -> Iterator[_Result]:
        with suppress(InfraError), self._folder(blob, make=False) as folder, os.scandir(folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    seen = entry.stat(follow_symlinks=False)
                    yield _Result(blob, entry.name, seen.st_size, seen.st_mtime)

    def _remove(self, result: _Result) -> None:
        with suppress(InfraError), self._folder(result.blob, make=False) as folder, worded():
            os.unlink(result.name, dir_fd=folder)
        with suppress(InfraError, OSError), self._folder(result.blob[:2], make=False, above=True) as folder:
            os.rmdir(result.blob, dir_fd=folder)  # while it holds others, it stays

    def _folder(self, name: str, *, make: bool, above: bool = False) -> AbstractContextManager[int]:
        below = (name,) if above else (name[:2], name)
        if not above and not is_blob_name(name):
            raise BlobMissing("no blob is called so")
        return open_folder(self._root, self._project, FOLDER, *below, make=make)


def _names(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


def _write(handle: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(handle, left) :]
    os.fsync(handle)


def _in_memory(content: bytes) -> IO[bytes]:
    file = os.fdopen(os.memfd_create("result"), "r+b", buffering=0)
    _write(file.fileno(), content)
    file.seek(0)
    return file
