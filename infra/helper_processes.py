"""Processes beside ours that do for it, one thing after the other, what would keep its interpreter or might end it.

What a project wants is done one after the other, so that one project never has all of them.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from config import surroundings
from config.settings import CHECKOUT
from infra.errors import Refused, Unavailable
from infra.helper_messages import read_message
from infra.pipeline import PIPE, spawn

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Mapping
    from typing import IO

IDLE_SECONDS = 60.0


class HelperFailed(Unavailable):
    """A helper has ended without an answer."""


class HelperOutOfTime(HelperFailed):
    """A helper has taken too long, and was ended."""


class HelpersBusy(Unavailable):
    """There are as many who wait as may."""


class HelperProcesses:
    """Helpers of one sort. Safe to use from many threads; one is started when there is something for it to do.

    module     what each runs: it reads messages from its input and answers each on its output, until the input ends
    processes  how many there are at most
    variables  what else stands in its environment
    waiting    how many may wait for one, of one project; None: any number
    """

    def __init__(
        self, module: str, processes: int, *, variables: Mapping[str, str] | None = None, waiting: int | None = None
    ) -> None:
        self._module, self._variables, self._waiting_max = module, dict(variables or {}), waiting
        self._turns = threading.BoundedSemaphore(processes)
        self._one_at_a_time: dict[str, threading.Lock] = {}
        self._waiting: dict[str, int] = {}
        self._idle: list[tuple[float, subprocess.Popen[bytes]]] = []
        self._lock = threading.Lock()

    @contextmanager
    def turn(self, whose: str) -> Iterator[Callable[..., tuple[dict[str, Any], bytes]]]:
        """Wait for a project's turn, and lend what asks a helper: `ask(send, seconds)`.

        send     writes the message to the helper's input
        seconds  how long it may take

        Raises HelpersBusy; asking raises HelperFailed or HelperOutOfTime.
        """
        with self._in_line(whose) as alone, alone, self._turns:
            yield self._asked

    def idle(self) -> list[subprocess.Popen[bytes]]:
        """Return the processes that have nothing to do."""
        with self._lock:
            return [process for _since, process in self._idle]

    def trim(self, seconds: float = IDLE_SECONDS) -> None:
        """End the processes that have had nothing to do for so long."""
        until = time.monotonic() - seconds
        with self._lock:
            old = [process for since, process in self._idle if since <= until]
            self._idle = [each for each in self._idle if each[0] > until]
        for process in old:
            _end(process)

    @contextmanager
    def _in_line(self, whose: str) -> Iterator[threading.Lock]:
        with self._lock:
            alone = self._one_at_a_time.setdefault(whose, threading.Lock())
            before = self._waiting.get(whose, 0)
            if self._waiting_max is not None and before > self._waiting_max:
                raise HelpersBusy("as many wait for a helper as may")
            self._waiting[whose] = before + 1
        try:
            yield alone
        finally:
            with self._lock:
                self._waiting[whose] -= 1

    def _asked(self, send: Callable[[IO[bytes]], None], seconds: float) -> tuple[dict[str, Any], bytes]:
        """Have a helper answer; one that has not done its work is ended."""
        process, late = self._taken(), threading.Event()
        answer = None
        try:
            answer = _exchanged(process, send, seconds, late)
        except (EOFError, OSError, ValueError) as error:
            if late.is_set():
                raise HelperOutOfTime("a helper has taken too long") from error
            raise HelperFailed("a helper has ended without an answer") from error
        finally:
            if answer is None:
                _end(process)
        with self._lock:
            self._idle.append((time.monotonic(), process))
        return answer

    def _taken(self) -> subprocess.Popen[bytes]:
        with self._lock:
            while self._idle:
                process = self._idle.pop()[1]
                if process.poll() is None:
                    return process
                _end(process)
        argv = [sys.executable, "-m", self._module]
        environment = surroundings.program_environment() | self._variables
        try:
            # It ends with its input; the thread that starts it may end before.
            return spawn(argv, env=environment, cwd=CHECKOUT, stdin=PIPE, stdout=PIPE, death_signal=None)
        except (Unavailable, Refused) as error:
            raise HelperFailed(str(error)) from error


def _exchanged(
    process: subprocess.Popen[bytes], send: Callable[[IO[bytes]], None], seconds: float, late: threading.Event
) -> tuple[dict[str, Any], bytes]:
    if process.stdin is None or process.stdout is None:
        raise EOFError

    def give_up() -> None:
        late.set()
        process.kill()

    limit = threading.Timer(seconds, give_up)
    limit.start()
    try:
        send(process.stdin)
        return read_message(process.stdout)
    finally:
        limit.cancel()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    with suppress(BrokenPipeError):
        process.communicate()
