"""A project in one file for another host: a tar inside one gpg message, of a passphrase of its own.

First `export.json` says what it is, then the compressed dump follows in pieces, last `sums.json` its checksum. Plain
tools read it: `gpg --decrypt FILE | tar --extract --to-stdout --wildcards 'database.*' | gunzip | psql`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Any

from infra import files
from infra.backup.archive import CHUNK_BYTES, BackupDamaged, StoredFile, translate_full_disk
from infra.backup.dumps import FORMATS
from infra.errors import Refused
from infra.pipeline import ProgramFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from infra.backup.sets import Manifest
    from infra.gpg import Gpg

VERSION = 1
HEAD, SUMS, PART = "export.json", "sums.json", re.compile(r"database\.(sql\.gz|dump\.zst)\.(\d{6})", re.ASCII)
MOST_TEXT_BYTES = 64 << 20
PIECE_BYTES = 8 << 20


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


def write_export(
    path: Path, head: ExportHeader, packed: IO[bytes], gpg: Gpg, passphrase: str, look: Callable[[int], None]
) -> None:
    """Write an export into `path`, 0600, on the disk when this returns. packed: the compressed dump.

    look  called with the bytes so far; what it raises ends the writing, and the file is gone

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
            _add(tar, SUMS, json.dumps({"pieces": count, "bytes": done, "sha256": digest.hexdigest()}).encode())
        os.fsync(file.fileno())


def read_header(path: Path, gpg: Gpg, passphrase: str) -> ExportHeader:
    """Return what an export is, without reading all of it. Raises Refused: another passphrase, or no export."""
    with _members(path, gpg, passphrase, whole=False) as (head, _):
        return head


@contextmanager
def open_export(path: Path, gpg: Gpg, passphrase: str) -> Iterator[tuple[ExportHeader, Iterator[bytes]]]:
    """Lend what an export is, and its compressed dump piece by piece; it is known to be right when all are read.

    Raises Refused, Damaged.
    """
    with _members(path, gpg, passphrase, whole=True) as (head, tar):
        yield head, _pieces(tar, head)


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


def _pieces(tar: tarfile.TarFile, head: ExportHeader) -> Iterator[bytes]:
    digest, count, done = hashlib.sha256(), 0, 0
    while (member := tar.next()) is not None and member.name != SUMS:
        found = PART.fullmatch(member.name)
        if found is None or found[1] != head.format or int(found[2]) != count or not member.isfile():
            raise BackupDamaged("the export holds something that it should not")
        content = tar.extractfile(member)
        while content is not None and (piece := content.read(CHUNK_BYTES)):
            digest.update(piece)
            done += len(piece)
            yield piece
        count += 1
    sums = json.loads(_text(tar, member, SUMS))
    if sums != {"pieces": count, "bytes": done, "sha256": digest.hexdigest()}:
        raise BackupDamaged("the export is not whole: its checksum does not fit")


def _text(tar: tarfile.TarFile, member: tarfile.TarInfo | None, name: str) -> bytes:
    if member is None or member.name != name or not member.isfile() or member.size > MOST_TEXT_BYTES:
        raise BackupDamaged(f"the export has no {name} where it should be")
    content = tar.extractfile(member)
    return b"" if content is None else content.read()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o600
    tar.addfile(member, io.BytesIO(content))
