"""Collects what a process prints into a log file of bounded size."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

from config.logging import escape_controls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LARGEST_BYTES = 10_000_000
LONGEST_LINE = 65_536


class ProcessLog:
    """One file and one older: together at most twice `largest_bytes`. Never raises: a full disk loses lines only."""

    def __init__(self, path: Path, *, largest_bytes: int = LARGEST_BYTES) -> None:
        self.path = path
        self._largest = largest_bytes

    def write(self, prefix: str, data: bytes) -> None:
        """Append whole lines, each after the prefix. What would begin another line, or rule a terminal, is escaped."""
        texts = data.decode(errors="backslashreplace").split("\n")
        lines = "".join(f"{prefix} | {escape_controls(text)}\n" for text in texts).encode()
        try:
            if self.path.exists() and self.path.stat().st_size + len(lines) > self._largest:
                self.path.replace(self.path.with_name(f"{self.path.name}.1"))
            with os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as file:
                file.write(lines)
        except OSError:
            return

    def tail(self, lines: int = 5) -> str:
        """Return the last lines, for a message."""
        try:
            return "\n".join(self.path.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""


class Repetitions:
    """Leaves lines out that say the same again and again, and says how many.

    Two lines are alike that differ in numbers and in names that anybody can make up; the name of a project counts, so
    that each has a share of its own.
    """

    def __init__(self, most: int = 50, seconds: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._seconds, self._clock = most, seconds, clock
        self._seen: dict[bytes, int] = {}
        self._first: dict[bytes, bytes] = {}
        self._until = 0.0

    def thinned(self, lines: list[bytes]) -> Iterator[bytes]:
        """Yield the lines that are written, and how many like one were not since they were counted last."""
        now = self._clock()
        if now >= self._until:
            yield from self._told()
            self._until = now + self._seconds
        for line in lines:
            if line.startswith(b"{"):  # one of our own processes', which keeps to shares itself (config.logging)
                yield line
                continue
            shape = _shape(line)
            seen = self._seen[shape] = self._seen.get(shape, 0) + 1
            if seen <= self._most:
                yield line
            elif seen == self._most + 1:
                self._first[shape] = line

    def _told(self) -> Iterator[bytes]:
        for shape, line in self._first.items():
            yield b"%d more lines like this one were left out: " % (self._seen[shape] - self._most) + line
        self._seen.clear()
        self._first.clear()


def _shape(line: bytes) -> bytes:
    kept = _PROJECT.findall(line)
    return _NUMBER.sub(b"#", _QUOTED.sub(b'""', line[:_LOOKED_AT])) + b" ".join(kept[:1])


_PROJECT = re.compile(rb"proj_[0-9a-f]{16}")
_QUOTED, _NUMBER = re.compile(rb'"[^"]*"'), re.compile(rb"[0-9]+")
_LOOKED_AT = 300


class OutputPipe:
    """The reading end of a process's output: keeps an unfinished line until the rest comes."""

    def __init__(self, log: ProcessLog, prefix: str) -> None:
        self.read_end, self.write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.read_end, False)
        self.log = log
        self._prefix = prefix
        self._rest = b""
        self._repetitions = Repetitions()

    def pump(self) -> bool:
        """Move what is there into the log; say whether more can come."""
        try:
            data = os.read(self.read_end, LONGEST_LINE)
        except BlockingIOError:
            return True
        *whole, self._rest = (self._rest + data).split(b"\n")
        if not data or len(self._rest) >= LONGEST_LINE:
            whole, self._rest = [*whole, self._rest], b""
        if kept := list(self._repetitions.thinned([line for line in whole if line])):
            self.log.write(self._prefix, b"\n".join(kept))
        return bool(data)

    def close(self) -> None:
        """Release the reading end."""
        os.close(self.read_end)
