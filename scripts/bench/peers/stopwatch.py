"""What every peer needs: what it is asked for, and a stopwatch that stops with the last job."""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import dataclass

PATIENCE_SECONDS = 300.0


@dataclass(frozen=True)
class Task:
    """What the bench asks of a peer, as it says on standard input, because the URL holds a password.

    url      of a database of the peer's own
    redis    of the bench's Valkey
    jobs     how many
    steps    recorded steps a job
    threads  of the one worker process
    way      how the peer is to be configured, where it can be in more than one way
    """

    url: str
    redis: str
    jobs: int
    steps: int
    threads: int
    way: str = ""


def task() -> Task:
    """Read what is asked for."""
    return Task(**json.load(sys.stdin))


class Finish:
    """Counts jobs that have ended, in whatever thread."""

    def __init__(self, jobs: int) -> None:
        self._open = jobs
        self._lock = threading.Lock()
        self._all = threading.Event()

    def one(self) -> None:
        """Count a job."""
        with self._lock:
            self._open -= 1
            if self._open == 0:
                self._all.set()

    def wait(self) -> None:
        """Wait for the last. Raises TimeoutError."""
        if not self._all.wait(PATIENCE_SECONDS):
            raise TimeoutError(f"{self._open} jobs have not ended")


def report(asked: Task, *, enqueue_seconds: float, drain_seconds: float) -> None:
    """Print both rates as one line of JSON."""
    print(json.dumps({"enqueue": asked.jobs / enqueue_seconds, "drain": asked.jobs / drain_seconds}), flush=True)


def seconds_since(start: float) -> float:
    """Return how long ago `start` was."""
    return time.perf_counter() - start
