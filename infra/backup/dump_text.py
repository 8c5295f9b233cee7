r"""Reads a dump as a stream: statement by statement, and the rows of `COPY … FROM stdin` in pieces, up to `\.`.

Each byte is copied and looked at a fixed number of times, and no more of the dump is held than one statement or one
piece, however long a row is.
"""

from __future__ import annotations

import re
from typing import IO, TYPE_CHECKING

from infra.backup.archive import CHUNK_BYTES, BackupDamaged
from infra.postgres.split import InvalidEncoding, StatementScanner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

END_OF_ROWS = b"\n\\.\n"
# Lines for psql alone, which shut out what a name may carry; here nothing obeys them.
_SKIPPED = re.compile(rb"(?:\s+|--[^\n]*\n|\\(?:un)?restrict [A-Za-z0-9]+\n)+")


class DumpReader:
    """The text of one dump, read once.

    look  called with the bytes read so far; what it raises ends the reading
    """

    def __init__(self, source: IO[bytes], look: Callable[[int], None]) -> None:
        self._source, self._look = source, look
        self._read = 0
        self._buffer = bytearray()

    def next_statement(self) -> bytes | None:
        """Return the next statement without its semicolon; None at the end of the dump.

        Raises Damaged when the text breaks off.
        """
        self._skip()
        first = StatementScanner()
        try:
            while (end := first.end(self._buffer)) is None:
                # Twice as much as there is: what is long is not looked at again for each chunk of it.
                if not self._fill(len(self._buffer)):
                    break
        except InvalidEncoding as error:
            raise BackupDamaged(f"the dump cannot be read: {error}") from error
        if end is None:
            if self._buffer.strip():
                raise BackupDamaged("the dump breaks off in the middle of a statement")
            return None
        return self._taken(end, 1)

    def copy_rows(self) -> Iterator[bytes]:
        """Yield what stands between a COPY statement and its end mark, in pieces of about a chunk.

        Raises Damaged when the text breaks off.
        """
        while len(self._buffer) < len(END_OF_ROWS) and self._fill():
            continue
        if not self._buffer.startswith(b"\n"):
            raise BackupDamaged("the dump breaks off before the rows of a table")
        # The line end before the first row may be the one before the end mark.
        behind = 1
        while (end := self._buffer.find(END_OF_ROWS)) < 0:
            piece = self._taken(max(len(self._buffer) - len(END_OF_ROWS) + 1, 0))
            yield piece[behind:]
            behind = 0 if piece else behind
            if not self._fill():
                raise BackupDamaged("the dump breaks off in the middle of a table's rows")
        yield self._taken(end + 1, len(END_OF_ROWS) - 1)[behind:]

    def _skip(self) -> None:
        """Drop blanks, comments and lines for psql, up to a line that is something else."""
        while True:
            found = _SKIPPED.match(self._buffer)
            end = found.end() if found else 0
            del found  # it holds the buffer, which could not change its size
            del self._buffer[:end]
            if b"\n" in self._buffer or not self._fill():
                return

    def _taken(self, size: int, dropped: int = 0) -> bytes:
        """Take so much from the buffer, and drop what follows it."""
        taken = bytes(self._buffer[:size])
        del self._buffer[: size + dropped]
        return taken

    def _fill(self, size: int = 0) -> bool:
        """Read at least so much, and a chunk; say whether there was anything."""
        until = self._read + max(size, 1)
        before = self._read
        while self._read < until and (chunk := self._source.read(CHUNK_BYTES)):
            self._read += len(chunk)
            self._buffer += chunk
            self._look(self._read)
        return self._read > before
