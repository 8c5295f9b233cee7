"""The contents of one project's files: each is kept once, compressed and encrypted, by a name that tells nothing of it.

Whoever writes shares a lock with other writers; who removes what no set names any more has it alone. Two files of one
name hold the same, or one of them is damaged.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import re
import shutil
import time
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from infra import files
from infra.backup import archive
from infra.backup.archive import BackupDamaged
from infra.openpgp import MessageDamaged, OpenPgpCipher
from infra.pipeline import ProgramFailed
from infra.secrets import vault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from infra.gpg import Gpg

FOLDER = "files"
NAME = re.compile(r"[0-9a-f]{64}", re.ASCII)
SUFFIX, COMING, ASIDE = ".zst.gpg", ".coming", ".damaged"
PURPOSE = b"launchdb backup content"
UNSWEPT = ".unswept"
LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class SealedContent:
    """A content as it lies there. name: its own; bytes, sha256: of the encrypted file."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class PutContent:
    """A content that was put there. bytes, sha256: of what was read; added: how much more the contents take up."""

    sealed: SealedContent
    bytes: int
    sha256: str
    added: int


def content_name(key: str, owner: str, sha256: str) -> str:
    """Return the name of a content: whoever lacks the key cannot tell whether it is that of a file they know."""
    return hmac.new(vault.derive_key(key, PURPOSE), f"{owner}\0{sha256}".encode(), "sha256").hexdigest()


class ContentStore:
    """The contents of one owner's files. Safe to use from many threads and processes.

    owner  whose they are: what the names of their sets begin with
    """

    def __init__(self, backups: Path, owner: str, gpg: Gpg) -> None:
        self.owner, self._folder, self._cipher = owner, backups / FOLDER / owner, OpenPgpCipher(gpg)

    # --- who may do what at once

    @contextmanager
    def writing(self, check: Callable[[], None]) -> Iterator[None]:
        """Keep what is written meanwhile from being removed for want of a set that names it.

        check  called while somebody is removing; may raise to end the waiting
        """
        with self._locked(fcntl.LOCK_SH, check):
            # Whoever is killed has left something, perhaps.
            marker, was_swept = self._folder / UNSWEPT, not self.is_unswept()
            marker.touch(mode=0o600)
            yield
            if was_swept:
                marker.unlink(missing_ok=True)

    @contextmanager
    def reading(self, check: Callable[[], None]) -> Iterator[None]:
        """Keep what is there from being removed meanwhile. check: as in `writing`."""
        with self._locked(fcntl.LOCK_SH, check):
            yield

    @contextmanager
    def sweeping(self) -> Iterator[bool]:
        """Lend whether we are alone with what is there; otherwise somebody is writing."""
        if not self._folder.is_dir():
            yield False
            return
        with suppress(_SomebodyWrites), self._locked(fcntl.LOCK_EX, _give_up):
            yield True
            return
        yield False

    @contextmanager
    def _locked(self, operation: int, busy: Callable[[], None]) -> Iterator[None]:
        while True:
            files.ensure_folder(self._folder.parent)
            handle = os.open(files.ensure_folder(self._folder), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                while not _lock(handle, operation):
                    busy()
                    time.sleep(LOOK_SECONDS)
                if not self._is_still(handle):  # it was removed while we waited for it
                    continue
                yield
                return
            finally:
                os.close(handle)

    def _is_still(self, handle: int) -> bool:
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(handle), self._folder.stat())
        return False

    # --- contents

    def name(self, key: str, sha256: str) -> str:
        """Return by what name a content of this checksum is kept."""
        return content_name(key, self.owner, sha256)

    def path(self, name: str) -> Path:
        """Return where a content lies."""
        return self._folder / name[:2] / f"{name}{SUFFIX}"

    def relative(self, name: str) -> str:
        """Return where a content lies below the folder of the sets, here as on another machine."""
        return f"{FOLDER}/{self.owner}/{name[:2]}/{name}{SUFFIX}"

    def has(self, name: str, size: int | None = None) -> bool:
        """Return whether a content is there, of that size where one is named."""
        with suppress(FileNotFoundError):
            return size in (None, self.path(name).stat().st_size)
        return False

    def sealed(self, name: str) -> SealedContent:
        """Return what there is of a content. Raises FileNotFoundError."""
        path = self.path(name)
        return SealedContent(name, path.stat().st_size, files.sha256_of(path))

    def put(self, key: str, content: IO[bytes], look: Callable[[int], None]) -> PutContent:
        """Ensure that a content is there.

        look  called with the bytes so far; what it raises ends the writing, and nothing is left

        Raises DiskFull, Unavailable.
        """
        source = _Hashing(content)
        coming = files.ensure_folder(self._folder) / f"{uuid.uuid4()}{COMING}"
        try:
            made = archive.store_file(source, coming, "zst", self._cipher, key, look)  # type: ignore[arg-type]
            sha256 = source.digest.hexdigest()
            name = self.name(key, sha256)
            path = self.path(name)
            files.ensure_folder(path.parent)
            added = 0 if path.exists() else made.bytes
            coming.replace(path)  # what was there may be damaged: this is not
            return PutContent(SealedContent(name, made.bytes, made.sha256), made.plain_bytes, sha256, added)
        finally:
            coming.unlink(missing_ok=True)

    def take_in(self, name: str, file: Path) -> None:
        """Take in a content that came from elsewhere as it lies there, unless it is here."""
        path = self.path(name)
        files.ensure_folder(path.parent)
        if self.has(name, file.stat().st_size):
            file.unlink()
            return
        file.chmod(0o600)
        coming = self._folder / f"{uuid.uuid4()}{COMING}"
        shutil.move(file, coming)
        coming.replace(path)

    @contextmanager
    def open(self, name: str, key: str) -> Iterator[IO[bytes]]:
        """Lend the plain bytes of a content. Raises Damaged, also at the end."""
        try:
            with archive.open_plain(self.path(name), "zst", self._cipher, key) as plain:
                yield plain
        except FileNotFoundError:
            raise BackupDamaged("it is missing") from None
        except (ProgramFailed, MessageDamaged) as error:
            raise BackupDamaged("it was changed: it cannot be decrypted") from error

    def fault(self, sealed: SealedContent) -> str | None:
        """Return what is wrong with the encrypted file of a content, in words; None when it is what was written."""
        path = self.path(sealed.name)
        if not path.exists():
            return "was changed" if path.with_suffix(ASIDE).exists() else "is missing"
        return None if files.sha256_of(path) == sealed.sha256 else "was changed"

    def set_aside(self, name: str) -> None:
        """Have a damaged content be none any more: the next backup copies it anew."""
        with suppress(FileNotFoundError):
            path = self.path(name)
            path.replace(path.with_suffix(ASIDE))

    def make_lasting(self) -> None:
        """Ensure that the names of what was written outlast a power failure."""
        for folder in (self._folder, *(each for each in self._folder.iterdir() if each.is_dir())):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    # --- what is there

    def sizes(self) -> dict[str, int]:
        """Return the size of each content in bytes, by its name."""
        return {path.name.removesuffix(SUFFIX): path.stat().st_size for path in self._lying() if is_content(path.name)}

    def is_unswept(self) -> bool:
        """Return whether there may be something that no set names."""
        return (self._folder / UNSWEPT).exists()

    def mark_unswept(self) -> None:
        """Record that there may be something that no set names."""
        if self._folder.is_dir():
            (self._folder / UNSWEPT).touch(mode=0o600)

    def remove_unnamed(self, named: set[str]) -> int:
        """Remove what is not among these; return how many contents went. Nobody may be writing."""
        removed = 0
        for path in self._lying():
            if path.name.partition(".")[0] not in named or path.name.endswith(COMING):
                removed += is_content(path.name)
                path.unlink(missing_ok=True)
        if named:
            (self._folder / UNSWEPT).unlink(missing_ok=True)
        else:
            shutil.rmtree(self._folder)
        return removed

    def _lying(self) -> Iterator[Path]:
        for path in list(self._folder.iterdir()) if self._folder.is_dir() else ():
            if path.is_dir() and not path.is_symlink():
                yield from list(path.iterdir())
            elif path.name.endswith(COMING):
                yield path


def is_content(name: str) -> bool:
    """Return whether a file of this name holds a content."""
    return name.endswith(SUFFIX) and NAME.fullmatch(name.removesuffix(SUFFIX)) is not None


def owners(backups: Path) -> list[str]:
    """Return whose contents lie there."""
    folder = backups / FOLDER
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


class _SomebodyWrites(Exception):
    """The lock is somebody else's."""


class _Hashing:
    """A source whose bytes are hashed as they are read."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source, self.digest = source, hashlib.sha256()

    def read(self, size: int) -> bytes:
        part = self._source.read(size)
        self.digest.update(part)
        return part


def _lock(handle: int, operation: int) -> bool:
    try:
        fcntl.flock(handle, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _give_up() -> None:
    raise _SomebodyWrites
