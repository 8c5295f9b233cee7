"""Opens folders of a project one from the other, and follows no link: what somebody puts there is not gone through."""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from infra.blobs.store import BlobMissing, NoRoom
from infra.errors import Refused, Unavailable
from infra.files import ensure_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_LINKS = frozenset({errno.EPERM, errno.EMLINK, errno.EXDEV, errno.ENOTSUP})


@contextmanager
def open_folder(root: Path, *below: str, make: bool) -> Iterator[int]:
    """Open a folder below the root. Raises BlobMissing when it is not there, and is not to be made."""
    with ExitStack() as handles:
        with worded():
            if make:
                ensure_folder(root)
            handle = _entered(str(root), None, handles)
            for part in below:
                if make:
                    _ensure_inside(part, handle)
                handle = _entered(part, handle, handles)
        yield handle


class CannotLink(Exception):
    """This file system has no further names for a file."""


def _entered(path: str, inside: int | None, handles: ExitStack) -> int:
    handle = os.open(path, _FOLDER, dir_fd=inside)
    handles.callback(os.close, handle)
    return handle


def _ensure_inside(part: str, handle: int) -> None:
    try:
        os.mkdir(part, 0o700, dir_fd=handle)
    except FileExistsError:
        return
    os.fsync(handle)


@contextmanager
def worded() -> Iterator[None]:
    """Word what the file system says. Raises BlobMissing, NoRoom, CannotLink, Refused or Unavailable."""
    try:
        yield
    except FileNotFoundError as error:
        raise BlobMissing("there is no such blob") from error
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno in _NO_LINKS and error.filename2 is not None:
            raise CannotLink from error
        if error.errno in _FULL:
            raise NoRoom("the disk is full: free some space") from error
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise Refused("there is a link, or no folder, where the bytes of a project are kept; remove it") from error
        raise Unavailable(f"the place of the bytes does not answer: {error.strerror}") from error
