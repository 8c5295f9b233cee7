"""A project in one file for another host: a tar inside one gpg message, of a passphrase of its own.

First `export.json` says what it is, then the compressed dump follows in pieces, then each of the project's files (what
it is, and its bytes in pieces), last `sums.json` what all of it has to be. Plain tools read it:
`gpg --decrypt FILE | tar --extract --to-stdout --wildcards 'database.*' | gunzip | psql`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import IO, TYPE_CHECKING, Any

from infra import files
from infra.backup.archive import CHUNK_BYTES, BackupDamaged, StoredFile, translate_full_disk
from infra.backup.dumps import FORMATS
from infra.backup.objects.listing import ComingFile, ObjectRow
from infra.errors import Refused
from infra.pipeline import ProgramFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from infra.backup.objects.listing import StoredObject
    from infra.backup.sets import Manifest
    from infra.gpg import Gpg

VERSION = 1
HEAD, SUMS, PART = "export.json", "sums.json", re.compile(r"database\.(sql\.gz|dump\.zst)\.(\d{6})", re.ASCII)
FILE, FILE_PART = re.compile(r"files/(\d{10})\.json", re.ASCII), re.compile(r"files/(\d{10})\.(\d{6})", re.ASCII)
MOST_TEXT_BYTES = 64 << 20
PIECE_BYTES = 8 << 20
_STRANGE = "the export holds something that it should not"


@dataclass(frozen=True)
class ExportHeader:
    """What an export is.

    scope       the project's id where it comes from; its roles are named after it
    postgres    the server's version there
    schema      the newest project migration there
    plain_bytes how much the dump unpacks to
    details     name, settings, secrets and contents
    """

    scope: str
    created_at: str
    format: str
    postgres: str
    schema: str
    database_bytes: int
    plain_bytes: int
    details: dict[str, Any]
    version: int = VERSION

    @classmethod
    def of(cls, manifest: Manifest, details: dict[str, Any]) -> ExportHeader:
        """Return what an export of a set is. details: those of its manifest, opened."""
        return cls(
            scope=manifest.scope,
            created_at=manifest.created_at,
            format=manifest.format,
            postgres=manifest.postgres,
            schema=manifest.schema,
            database_bytes=manifest.database_bytes,
            plain_bytes=manifest.files[0].plain_bytes,
            details=details,
        )


def write_export(  # noqa: PLR0913 - what goes in, and what it goes through
    path: Path,
    head: ExportHeader,
    packed: IO[bytes],
    gpg: Gpg,
    passphrase: str,
    *,
    files: Iterable[tuple[StoredObject, Iterator[bytes]]],
    look: Callable[[int], None],
) -> None:
    """Write an export into `path`, 0600, on the disk when this returns. packed: the compressed dump.

    files  the project's files with their bytes
    look   called with the bytes so far; what it raises ends the writing, and the file is gone

    Raises DiskFull, ProgramFailed when gpg fails.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with translate_full_disk(path), os.fdopen(handle, "wb") as file:
        with (
            gpg.encrypting(passphrase, file) as sink,
            tarfile.open(fileobj=sink, mode="w|", format=tarfile.USTAR_FORMAT) as tar,
        ):
            _add(tar, HEAD, json.dumps(asdict(head)).encode())
            digest, count, done = hashlib.sha256(), 0, 0
            while piece := packed.read(PIECE_BYTES):
                digest.update(piece)
                _add(tar, f"database.{head.format}.{count:06}", piece)
                count, done = count + 1, done + len(piece)
                look(done)
            sums = {"pieces": count, "bytes": done, "sha256": digest.hexdigest()}
            if many := _add_files(tar, files, lambda more: look(done + more)):
                sums["files"] = many
            _add(tar, SUMS, json.dumps(sums).encode())
        os.fsync(file.fileno())


def _add_files(
    tar: tarfile.TarFile, files: Iterable[tuple[StoredObject, Iterator[bytes]]], look: Callable[[int], None]
) -> int:
    """Add files with their bytes; return how many."""
    count = done = 0
    for count, (stored, chunks) in enumerate(files, start=1):
        row = stored.row
        said = {**asdict(row), "bytes": stored.size, "digest": stored.sha256, "held": stored.content is not None}
        _add(tar, f"files/{count:010}.json", json.dumps(said).encode())
        for number, chunk in enumerate(chunks):
            _add(tar, f"files/{count:010}.{number:06}", chunk)
            done += len(chunk)
            look(done)
    return count


def read_header(path: Path, gpg: Gpg, passphrase: str) -> ExportHeader:
    """Return what an export is, without reading all of it. Raises Refused: another passphrase, or no export."""
    with _members(path, gpg, passphrase, whole=False) as (head, _):
        return head


@contextmanager
def open_export(
    path: Path, gpg: Gpg, passphrase: str
) -> Iterator[tuple[ExportHeader, Iterator[bytes], Iterator[ComingFile]]]:
    """Lend what an export is, its compressed dump piece by piece, and after that its files.

    It is known to be right when all of them are read. Raises Refused, Damaged.
    """
    with _members(path, gpg, passphrase, whole=True) as (head, tar):
        reader = _ExportReader(tar, head)
        yield head, reader.pieces(), reader.files()


def reencrypt(
    pieces: Iterator[bytes], path: Path, plain_bytes: int, gpg: Gpg, key: str, look: Callable[[int], None]
) -> StoredFile:
    """Write the pieces of a compressed dump into a backup's file, encrypted by `key`. Raises DiskFull, Damaged."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    done = 0
    with translate_full_disk(path), os.fdopen(handle, "wb") as file:
        with gpg.encrypting(key, file) as sink:
            for piece in pieces:
                sink.write(piece)
                done += len(piece)
                look(done)
        os.fsync(file.fileno())
    return StoredFile(path.stat().st_size, files.sha256_of(path), plain_bytes)


@contextmanager
def _members(path: Path, gpg: Gpg, passphrase: str, *, whole: bool) -> Iterator[tuple[ExportHeader, tarfile.TarFile]]:
    try:
        with path.open("rb") as file, gpg.decrypting(passphrase, file, whole=whole) as plain:
            try:
                with tarfile.open(fileobj=plain, mode="r|") as tar:
                    yield _head(tar), tar
                    while whole and plain.read(CHUNK_BYTES):  # what follows the last member: gpg signs the whole
                        continue
            except tarfile.TarError as error:
                raise BackupDamaged(f"{path.name} is no export, or the passphrase is another one") from error
    except FileNotFoundError:
        raise Refused(f"there is no file {path.name}") from None
    except ProgramFailed as error:
        raise Refused(f"{path.name} does not open: the passphrase is another one, or it was changed") from error


def _head(tar: tarfile.TarFile) -> ExportHeader:
    try:
        head = ExportHeader(**json.loads(_text(tar, tar.next(), HEAD)))
    except (ValueError, TypeError) as error:
        raise BackupDamaged(f"this is no export: {type(error).__name__}") from None
    if head.version != VERSION:
        raise Refused(f"this export was made by another version ({head.version}; this one knows {VERSION})")
    if head.format not in FORMATS:
        raise Refused("this is no export of a project")
    return head


class _ExportReader:
    """Reads the members behind the first, each once, in their order."""

    def __init__(self, tar: tarfile.TarFile, head: ExportHeader) -> None:
        self._tar, self._head = tar, head
        self._member = tar.next()
        self._sums: dict[str, Any] = {}

    def pieces(self) -> Iterator[bytes]:
        """Return the pieces of the dump. Raises Damaged."""
        digest, count, done = hashlib.sha256(), 0, 0
        while (member := self._member) is not None and (found := PART.fullmatch(member.name)):
            if found[1] != self._head.format or int(found[2]) != count:
                raise BackupDamaged(_STRANGE)
            for piece in self._content(member):
                digest.update(piece)
                done += len(piece)
                yield piece
            self._member = self._tar.next()
            count += 1
        self._sums = {"pieces": count, "bytes": done, "sha256": digest.hexdigest()}

    def files(self) -> Iterator[ComingFile]:
        """Return the files, once the dump is read; each has to be read before the next. Raises Damaged."""
        count = 0
        while (member := self._member) is not None and (found := FILE.fullmatch(member.name)):
            count += 1
            if int(found[1]) != count:
                raise BackupDamaged(_STRANGE)
            file = self._file(_text(self._tar, member, member.name))
            self._member = self._tar.next()
            yield replace(file, chunks=None if file.chunks is None else self._chunks(count))
        if count:
            self._sums["files"] = count
        if self._member is not None and self._member.name != SUMS:
            raise BackupDamaged(_STRANGE)
        if json.loads(_text(self._tar, self._member, SUMS)) != self._sums:
            raise BackupDamaged("the export is not whole: its checksum does not fit")

    def _chunks(self, count: int) -> Iterator[bytes]:
        number = 0
        while (member := self._member) is not None and (found := FILE_PART.fullmatch(member.name)):
            if (int(found[1]), int(found[2])) != (count, number):
                raise BackupDamaged(_STRANGE)
            yield from self._content(member)
            self._member = self._tar.next()
            number += 1

    def _file(self, text: bytes) -> ComingFile:
        try:
            said = json.loads(text)
            row = ObjectRow(**{name: said[name] for name in ("id", "version", "bucket", "name", "size", "sha256")})
            return ComingFile(row, int(said["bytes"]), str(said["digest"]), iter(()) if said["held"] else None)
        except (ValueError, TypeError, KeyError) as error:
            raise BackupDamaged(f"{_STRANGE}: {type(error).__name__}") from None

    def _content(self, member: tarfile.TarInfo) -> Iterator[bytes]:
        if not member.isfile():
            raise BackupDamaged(_STRANGE)
        content = self._tar.extractfile(member)
        while content is not None and (piece := content.read(CHUNK_BYTES)):
            yield piece


def _text(tar: tarfile.TarFile, member: tarfile.TarInfo | None, name: str) -> bytes:
    if member is None or member.name != name or not member.isfile() or member.size > MOST_TEXT_BYTES:
        raise BackupDamaged(f"the export has no {name} where it should be")
    content = tar.extractfile(member)
    return b"" if content is None else content.read()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o600
    tar.addfile(member, io.BytesIO(content))
