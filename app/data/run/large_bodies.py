"""Large bodies are read by processes of their own: while an interpreter reads one, it does nothing else.

What a project sends is read one body after the other, so that one project never has all of these processes.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from app.data.errors import PgrstError
from app.data.parse import body
from app.data.parse.body_process import payload, read_message, write_message
from config import surroundings
from config.settings import CHECKOUT
from infra.errors import Refused, Unavailable
from infra.pipeline import PIPE, spawn

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from app.data.parse.body import Payload

log = logging.getLogger(__name__)
# What is smaller is read in less time than asking somebody else takes.
LARGE_BYTES = 65_536
PROCESSES = 2
# Far longer than the largest body takes; then its process is ended.
SECONDS = 30.0
IDLE_SECONDS = 60.0


class LargeBodies:
    """Reads bodies. Safe to use from many threads; starts a process when there is something for it to do."""

    def __init__(self, processes: int = PROCESSES) -> None:
        self._turns = threading.BoundedSemaphore(processes)
        self._one_at_a_time: dict[str, threading.Lock] = {}
        self._idle: list[tuple[float, subprocess.Popen[bytes]]] = []
        self._lock = threading.Lock()

    def read(self, whose: str, raw: bytes, kind: str, columns: tuple[str, ...] | None, *, routine: bool) -> Payload:
        """Read a body of a project, as `app.data.parse.body.read` does. Raises PgrstError."""
        if len(raw) < LARGE_BYTES:
            return body.read(raw, kind, columns, routine=routine)
        about = {"kind": kind, "columns": columns, "routine": routine}
        with self._lock:
            alone = self._one_at_a_time.setdefault(whose, threading.Lock())
        with alone, self._turns, self._process() as process:
            said, text = _asked(process, about, raw)
        return payload(said, text, raw)

    def trim(self, seconds: float = IDLE_SECONDS) -> None:
        """End the processes that have had nothing to do for so long."""
        until = time.monotonic() - seconds
        with self._lock:
            old = [process for since, process in self._idle if since <= until]
            self._idle = [each for each in self._idle if each[0] > until]
        for process in old:
            _end(process)

    @contextmanager
    def _process(self) -> Iterator[subprocess.Popen[bytes]]:
        """Lend a process; one that has not done its work is ended. Raises PgrstError."""
        process = None
        try:
            process = self._taken()
            yield process
        except (EOFError, OSError, Unavailable, Refused):
            log.warning("a large body could not be read", exc_info=True)
            raise _unreadable() from None
        else:
            with self._lock:
                self._idle.append((time.monotonic(), process))
            process = None
        finally:
            if process is not None:
                _end(process)

    def _taken(self) -> subprocess.Popen[bytes]:
        with self._lock:
            while self._idle:
                process = self._idle.pop()[1]
                if process.poll() is None:
                    return process
                _end(process)
        argv = [sys.executable, "-m", "app.data.parse.body_process"]
        # It ends with its input; the thread that starts it may end before.
        environment = surroundings.program_environment()
        return spawn(argv, env=environment, cwd=CHECKOUT, stdin=PIPE, stdout=PIPE, death_signal=None)


def _asked(process: subprocess.Popen[bytes], about: dict[str, Any], raw: bytes) -> tuple[dict[str, Any], bytes]:
    """Have a process read a body; one that takes too long is ended. Raises OSError, EOFError when it was."""
    if process.stdin is None or process.stdout is None:
        raise EOFError
    limit = threading.Timer(SECONDS, process.kill)
    limit.start()
    try:
        write_message(process.stdin, about, raw)
        return read_message(process.stdout)
    finally:
        limit.cancel()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def _unreadable() -> PgrstError:
    return PgrstError("PGRST001", "The body could not be read. Try again.", status=503, headers=(("Retry-After", "1"),))
