"""Passwords that are known from leaks, by a file of their hashes that is looked through where it lies."""

from __future__ import annotations

import mmap
from hashlib import sha1
from typing import TYPE_CHECKING, Protocol

from infra.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SHORTEST_PREFIX = 10
_LONGEST_LINE = 128
_HEXADECIMAL = frozenset(b"0123456789ABCDEFabcdef")


class LeakedPasswords(Protocol):
    """Whoever knows which passwords are known."""

    def holds(self, password: str) -> bool:
        """Return whether this password is known."""


class CommonPasswords:
    """A list of passwords themselves, in lower case."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = frozenset(words)

    def holds(self, password: str) -> bool:
        """Return whether this password is in the list, in whatever case."""
        return password.lower() in self._words


class HashedPasswords:
    """A file of SHA-1 hashes in hexadecimal, sorted, one a line, whole or their beginnings, up to a colon.

    It may be much larger than memory: some forty pages of it are read for a password.
    """

    def __init__(self, path: Path) -> None:
        """Open the file. Raises Refused for one that is no such list."""
        try:
            with path.open("rb") as file:
                self._file = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise Refused(f"the list of leaked passwords cannot be read: {path}") from error
        first, _ = self._line(0)
        if len(first) < SHORTEST_PREFIX or not set(first) <= _HEXADECIMAL:
            raise Refused(f"the list of leaked passwords does not begin with a SHA-1 hash: {path}")

    def holds(self, password: str) -> bool:
        """Return whether this password's hash, or the beginning of it, is in the file."""
        wanted = sha1(password.encode(), usedforsecurity=False).hexdigest().upper().encode()
        low, high = 0, len(self._file)
        while low < high:
            middle = (low + high) // 2
            start = max(self._file.rfind(b"\n", low, middle) + 1, low)
            found, end = self._line(start)
            if len(found) >= SHORTEST_PREFIX and wanted.startswith(found):
                return True
            if found < wanted:
                low = end
            else:
                high = start
        return False

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _line(self, start: int) -> tuple[bytes, int]:
        """Return the hash in the line that begins there, and where the next one begins."""
        end = self._file.find(b"\n", start, start + _LONGEST_LINE)
        after = len(self._file) if end < 0 else end + 1
        return self._file[start:after].partition(b":")[0].strip().upper(), after


def opened(path: Path | None, common: Iterable[str]) -> LeakedPasswords:
    """Return the operator's file, or a list of common passwords where there is none. Raises Refused."""
    return CommonPasswords(common) if path is None else HashedPasswords(path)
