"""One encrypted file of a backup: compressed in this process, encrypted on its way, never plain on the disk."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from dataclasses import dataclass
from gzip import BadGzipFile
from typing import IO, TYPE_CHECKING, Any, Literal, Protocol

import zstandard
from isal import igzip, isal_zlib

from infra import files
from infra.disk import DiskFull
from infra.errors import Refused
from infra.pipeline import ProgramFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from infra.gpg import Gpg

Form = Literal["gz", "zst"]
CHUNK_BYTES = 1 << 20
GZIP_LEVEL, ZSTD_LEVEL = 1, 3
# What a backup never uses up: the databases on the same disk have to go on.
RESERVE_MB = 64
GZIP_WINDOW = 31  # the gzip header of RFC 1952, as zlib's manual numbers it


_BROKEN: Any = (EOFError, BadGzipFile, isal_zlib.error, zstandard.ZstdError)


class BackupDamaged(Refused):
    """The file is not what was written."""


class FileCipher(Protocol):
    """What encrypts files and reads them again: gpg itself, or what does the same in this process."""

    def encrypting(self, key: str, target: IO[bytes]) -> AbstractContextManager[IO[bytes]]:
        """Lend the end to write plain bytes to; `target` has received the whole file when the body is over."""

    def decrypting(self, key: str, source: IO[bytes], *, whole: bool = True) -> AbstractContextManager[IO[bytes]]:
        """Lend the end to read plain bytes from. They are known to be right only when the body is over."""


@dataclass(frozen=True)
class StoredFile:
    """What a file turned out to be. bytes, sha256: of the file; plain_bytes: of what went in."""

    bytes: int
    sha256: str
    plain_bytes: int


def store_file(
    source: IO[bytes], path: Path, form: Form, cipher: FileCipher, key: str, look: Callable[[int], None]
) -> StoredFile:
    """Write what `source` yields into `path`: compressed, encrypted, 0600, on the disk when this returns.

    look  called with the plain bytes so far; what it raises ends the writing, and the file is gone

    Raises DiskFull, ProgramFailed when gpg fails.
    """
    plain = 0
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with translate_full_disk(path), os.fdopen(handle, "wb") as file:
        with cipher.encrypting(key, file) as sink:
            press = _compressor(form)
            while chunk := source.read(CHUNK_BYTES):
                plain += len(chunk)
                sink.write(press.compress(chunk))
                look(plain)
            sink.write(press.flush())
        file.flush()
        os.fsync(file.fileno())
        return StoredFile(path.stat().st_size, files.sha256_of(path), plain)


@contextmanager
def open_compressed(path: Path, gpg: Gpg, key: str) -> Iterator[IO[bytes]]:
    """Lend the compressed bytes of a file. Raises ProgramFailed for a wrong key."""
    with path.open("rb") as file, gpg.decrypting(key, file) as compressed:
        yield compressed


@contextmanager
def open_plain(path: Path, form: Form, cipher: FileCipher, key: str, *, whole: bool = True) -> Iterator[IO[bytes]]:
    """Lend the plain bytes of a file, read as they are asked for.

    Raises what the cipher does for a wrong key, Damaged when what was decrypted cannot be unpacked.
    """
    with path.open("rb") as file, cipher.decrypting(key, file, whole=whole) as read, _unpacked(read, form) as plain:
        yield plain


def copy_bytes(source: IO[bytes], sink: IO[bytes], *, most_bytes: int) -> None:
    """Copy everything. Raises Damaged beyond `most_bytes`: a small file may unpack to fill a disk."""
    left = most_bytes
    while chunk := source.read(CHUNK_BYTES):
        left -= len(chunk)
        if left < 0:
            raise BackupDamaged("the file unpacks to more than its manifest says")
        sink.write(chunk)


def _compressor(form: Form) -> Any:
    if form == "gz":
        return isal_zlib.compressobj(level=GZIP_LEVEL, wbits=GZIP_WINDOW)
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compressobj()


@contextmanager
def _unpacked(packed: IO[bytes], form: Form) -> Iterator[IO[bytes]]:
    # Both read in pieces of bounded size, however far a piece of the file unpacks.
    try:
        if form == "gz":
            plain: Any = igzip.IGzipFile(fileobj=packed, mode="rb")  # type: ignore[no-untyped-call]
        else:
            plain = zstandard.ZstdDecompressor().stream_reader(packed, closefd=False)
        with plain:
            yield plain
    except _BROKEN as error:
        raise BackupDamaged(f"the file cannot be unpacked: {error}") from error


@contextmanager
def translate_full_disk(path: Path) -> Iterator[None]:
    """Ensure that nothing of a file is left when writing it fails. Raises DiskFull where that is why."""
    try:
        yield
    except BaseException as error:
        path.unlink(missing_ok=True)
        if _is_full(error):
            raise DiskFull(f"the disk is full: {path.name} could not be written") from error
        raise


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, ProgramFailed) and ("No space left" in error.said or "quota exceeded" in error.said)


def ensure_room(folder: Path, wanted_bytes: int) -> None:
    """Raise DiskFull unless so much can be written, with a reserve for everything else."""
    free = files.free_mb(folder)
    if free < wanted_bytes // 1_000_000 + RESERVE_MB:
        raise DiskFull(f"the backup needs about {wanted_bytes // 1_000_000 + RESERVE_MB} MB, and {free} MB are free")
