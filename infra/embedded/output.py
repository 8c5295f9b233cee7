"""Collects what a process prints into a log file of bounded size."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LARGEST_BYTES = 10_000_000
LONGEST_LINE = 65_536


class ProcessLog:
    """One file and one older: together at most twice `largest_bytes`. Never raises: a full disk loses lines only."""

    def __init__(self, path: Path, *, largest_bytes: int = LARGEST_BYTES) -> None:
        self.path = path
        self._largest = largest_bytes

    def write(self, prefix: str, data: bytes) -> None:
        """Append whole lines, each after the prefix."""
        lines = b"".join(f"{prefix} | ".encode() + line + b"\n" for line in data.splitlines())
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


class OutputPipe:
    """The reading end of a process's output: keeps an unfinished line until the rest comes."""

    def __init__(self, log: ProcessLog, prefix: str) -> None:
        self.read_end, self.write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.read_end, False)
        self.log = log
        self._prefix = prefix
        self._rest = b""

    def pump(self) -> bool:
        """Move what is there into the log; say whether more can come."""
        try:
            data = os.read(self.read_end, LONGEST_LINE)
        except BlockingIOError:
            return True
        *whole, self._rest = (self._rest + data).split(b"\n")
        if not data or len(self._rest) >= LONGEST_LINE:
            whole, self._rest = [*whole, self._rest], b""
        if any(whole):
            self.log.write(self._prefix, b"\n".join(whole))
        return bool(data)

    def close(self) -> None:
        """Release the reading end."""
        os.close(self.read_end)
