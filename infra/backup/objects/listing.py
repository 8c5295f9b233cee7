"""The listing of a set: a line of JSON for each file, in the order of their ids, so that two are read side by side."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from infra.backup import archive
from infra.backup.archive import CHUNK_BYTES, BackupDamaged
from infra.backup.objects.contents import NAME, SealedContent
from infra.blobs.store import BlobMissing, blob_name
from infra.pipeline import ProgramFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from infra.gpg import Gpg

MOST_LINE_BYTES = 1 << 20


@dataclass(frozen=True)
class ObjectRow:
    """A file as its row in the project's database says it. size, sha256: what is said of its bytes, if anything is."""

    id: str
    version: str
    bucket: str
    name: str
    size: int | None
    sha256: str | None

    @property
    def said(self) -> str:
        """By what people know it."""
        return f"{self.bucket}/{self.name}"

    @property
    def blob(self) -> str | None:
        """Return the name of its bytes; None where what stands in the row is the name of none."""
        try:
            return blob_name(self.id, self.version)
        except BlobMissing:
            return None


@dataclass(frozen=True)
class StoredObject:
    """A file of a set.

    content       what it holds; None when it had no bytes
    size, sha256  of its bytes, as they were read
    """

    row: ObjectRow
    content: SealedContent | None
    size: int = 0
    sha256: str = ""

    def line(self) -> bytes:
        """Return it as a line of a listing."""
        row, content = self.row, self.content
        held = None if content is None else [content.name, content.bytes, content.sha256]
        known = [row.id, row.version, row.bucket, row.name, row.size, row.sha256, self.size, self.sha256, held]
        return json.dumps(known, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def of_line(cls, line: bytes) -> StoredObject:
        """Read such a line. Raises Damaged."""
        try:
            *row, size, sha256, held = json.loads(line)
            content = None if held is None else SealedContent(str(held[0]), int(held[1]), str(held[2]))
            read = cls(ObjectRow(*row), content, int(size), str(sha256))
        except (ValueError, TypeError, IndexError) as error:
            raise BackupDamaged(f"this is no list of files: {type(error).__name__}") from None
        if content is not None and NAME.fullmatch(content.name) is None:
            raise BackupDamaged("the list of files names no content of ours")
        return read


@dataclass(frozen=True)
class ComingFile:
    """A file as it comes. chunks: its bytes, to be read before the next one comes; None where it had none."""

    row: ObjectRow
    size: int
    sha256: str
    chunks: Iterator[bytes] | None


@dataclass(frozen=True)
class ListingFile:
    """A listing that lies there, and by what it opens."""

    path: Path
    gpg: Gpg
    key: str = field(repr=False)

    @contextmanager
    def open(self, *, whole: bool = True) -> Iterator[Iterator[StoredObject]]:
        """Lend the files that it names. Raises Damaged."""
        with open_listing(self.path, self.gpg, self.key, whole=whole) as found:
            yield found


def write_lines(
    lines: Iterable[bytes], path: Path, gpg: Gpg, key: str, look: Callable[[int], None]
) -> archive.StoredFile:
    """Write lines into an encrypted file. Raises DiskFull, ProgramFailed; then nothing is left of it."""
    return archive.store_file(_Lines(iter(lines)), path, "zst", gpg, key, look)  # type: ignore[arg-type]


@contextmanager
def open_listing(path: Path, gpg: Gpg, key: str, *, whole: bool = True) -> Iterator[Iterator[StoredObject]]:
    """Lend the files that a listing names. whole: whether all of it is read. Raises Damaged."""
    with open_lines(path, gpg, key, whole=whole) as lines:
        yield (StoredObject.of_line(line) for line in lines)


@contextmanager
def open_lines(path: Path, gpg: Gpg, key: str, *, whole: bool = True) -> Iterator[Iterator[bytes]]:
    """Lend the lines of an encrypted file. Raises Damaged."""
    try:
        with archive.open_plain(path, "zst", gpg, key, whole=whole) as plain:
            yield _split(plain)
    except FileNotFoundError:
        raise BackupDamaged(f"{path.name} is missing") from None
    except ProgramFailed as error:
        raise BackupDamaged(f"{path.name} was changed: it cannot be decrypted") from error


def row_line(row: ObjectRow) -> bytes:
    """Return a row as a line, for as long as its bytes are not copied."""
    return StoredObject(row, None).line()


def _split(plain: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while part := plain.read(CHUNK_BYTES):
        *lines, rest = (rest + part).split(b"\n")
        yield from lines
        if len(rest) > MOST_LINE_BYTES:
            raise BackupDamaged("this is no list of files")
    if rest:
        raise BackupDamaged("the list of files breaks off")


class _Lines:
    """Lines that are read as a file is."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines: Any = lines

    def read(self, size: int) -> bytes:
        parts, length = [], 0
        for line in self._lines:
            parts.append(line)
            length += len(line)
            if length >= size:
                break
        return b"".join(parts)
