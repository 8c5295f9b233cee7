"""Files that are whole or not there: atomic replacement, folders, locks, and clear words for what goes wrong."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from infra import exhaustion
from infra.errors import InfraError, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class FileLocked(Unavailable):
    """Somebody else holds the lock."""


def os_error_text(error: OSError, what: str) -> InfraError:
    """Word an OSError for a person: the full disk by its name, anything else by the system's own words.

    Nothing is wrong with a file that this process has no descriptor left for: that is Unavailable. Else it is Refused.
    """
    if exhaustion.is_shortage(error):
        return Unavailable(f"{what}: {error.strerror}")
    if error.errno in _FULL:
        return Refused(f"the disk is full: {what} could not be written; free some space and start again")
    if error.errno == errno.EEXIST:
        return Refused(f"{what} is no folder; remove it, or choose another place")
    return Refused(f"{what}: {error.strerror}")


@contextmanager
def translate_os_errors(what: str | Path) -> Iterator[None]:
    """Turn an OSError into one clear sentence. Raises Refused, or Unavailable when this process lacks something."""
    try:
        yield
    except OSError as error:
        raise os_error_text(error, str(error.filename or what)) from error


def replace(
    path: Path,
    content: str | bytes,
    *,
    mode: int = 0o600,
    owner: tuple[int, int] | None = None,
    durable: bool = True,
) -> None:
    """Ensure that `path` holds exactly `content`: readers see the old file or the new one, also after a crash.

    durable  also after a loss of power; False spares the wait for the disk where the content can be made again

    Raises Refused, and leaves the old file and no litter, when the disk is full.
    """
    data = content.encode() if isinstance(content, str) else content
    with translate_os_errors(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                os.fchmod(file.fileno(), mode)
                if owner is not None:
                    os.fchown(file.fileno(), *owner)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def read(path: Path, *, private: bool = True) -> str:
    """Return what a file says; nothing when it is not there.

    For files that root reads in a folder to which services may add: who put a link there would have it read another.

    private  whether nobody else may be able to read it

    Raises Refused for a link, for a private file that others can read, and for one that is no text.
    """
    with translate_os_errors(path):
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return ""
        with os.fdopen(handle, encoding="utf-8") as file:
            found = os.fstat(handle).st_mode
            if not stat.S_ISREG(found):
                raise Refused(f"{path} is no file; remove it")
            if private and found & 0o077:
                raise Refused(f"{path} can be read by others; let its mode be 0600")
            try:
                return file.read()
            except UnicodeDecodeError as error:
                raise Refused(
                    f"{path} is not text in UTF-8: mend byte {error.start + 1}, or write the file anew"
                ) from error


def ensure_owned_folder(base: Path, path: str, mode: int, owner: tuple[int, int]) -> None:
    """Ensure a folder below a folder of root's with this mode and owner; no link on the way to it is followed.

    Raises Refused.
    """
    with ExitStack() as handles, translate_os_errors(base / path):
        handle = _entered(base, None, handles)
        for part in PurePath(path).parts:
            with suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=handle)  # the last one gets its own mode below
            try:
                handle = _entered(part, handle, handles)
            except NotADirectoryError as error:
                raise Refused(f"{base / path}: {part} is a link or no folder; remove it") from error
        found = os.fstat(handle)
        # The owner first: a change of it takes the setgid bit away.
        if (found.st_uid, found.st_gid) != owner:
            os.fchown(handle, *owner)
        os.fchmod(handle, mode)


def restrict(path: Path, mode: int) -> None:
    """Set the mode of a file or folder below no link, and of no link. Raises Refused."""
    with translate_os_errors(path):
        handle = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            held = Path(f"/proc/self/fd/{handle}")
            if stat.S_ISLNK(os.fstat(handle).st_mode) or held.readlink() != path:
                raise Refused(f"{path} is a link, or behind one; remove it")
            held.chmod(mode)
        finally:
            os.close(handle)


def _entered(path: str | Path, inside: int | None, handles: ExitStack) -> int:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=inside)
    handles.callback(os.close, handle)
    return handle


def holds(path: Path, content: str) -> bool:
    """Return whether the file is there with exactly this content."""
    try:
        return path.read_text() == content
    except (OSError, UnicodeDecodeError):
        return False


def ensure_folder(path: Path, *, mode: int = 0o700, owner: tuple[int, int] | None = None) -> Path:
    """Ensure that a folder of ours exists; one that is there keeps its mode. Raises Refused."""
    with translate_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.mkdir(mode=mode)
        except FileExistsError:
            if not path.is_dir():
                raise
            return path
        path.chmod(mode)
        if owner is not None:
            os.chown(path, *owner)
    return path


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[int]:
    """Hold the lock file; the kernel lets go of it however we end. Raises FileLocked unless told to wait.

    Refused is raised for a link: root locks files in folders to which services may add.
    """
    with translate_os_errors(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FileLocked(f"{path} is held by another process") from error
        yield handle
    finally:
        os.close(handle)


def free_mb(path: Path) -> int:
    """Return how many megabytes an ordinary account may still write where `path` lies."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize // 1_000_000


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
