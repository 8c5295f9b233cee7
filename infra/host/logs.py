"""What containers printed, one after the other or as it comes; for each line its container."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.installation import program_environment
from infra import pipeline
from infra.errors import InfraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


@dataclass(frozen=True)
class LogLine:
    """One line, with the time at which Docker got it."""

    container: str
    at: str
    text: str


@dataclass(frozen=True)
class LogRange:
    """How far back: a time or an age as Docker reads it ("10m"), and so many lines of each container at most."""

    since: str | None = None
    tail: int | None = None

    def options(self) -> list[str]:
        """Return them as docker's options."""
        since = ["--since", self.since] if self.since else []
        return [*since, *(["--tail", str(self.tail)] if self.tail is not None else [])]


def read(containers: Sequence[str], reach: LogRange) -> list[LogLine]:
    """Return what they printed, in the order of time. Raises Refused, Unavailable."""
    found: list[LogLine] = []
    for name in containers:
        _follow(name, reach, found.append, again=False)
    return sorted(found, key=lambda line: line.at)


def follow(containers: Sequence[str], reach: LogRange) -> Iterator[LogLine]:
    """Yield what they print, as it comes, until all of them have ended. Raises nothing for one that is gone."""
    lines: queue.SimpleQueue[LogLine | None] = queue.SimpleQueue()

    def watch(name: str) -> None:
        try:
            _follow(name, reach, lines.put, again=True)
        except InfraError:
            pass  # it went away: the others go on
        finally:
            lines.put(None)

    for name in containers:
        threading.Thread(target=watch, args=(name,), daemon=True).start()
    left = len(containers)
    while left:
        line = lines.get()
        if line is None:
            left -= 1
        else:
            yield line


def _follow(name: str, reach: LogRange, tell: Callable[[LogLine], None], *, again: bool) -> None:
    argv = ["docker", "logs", "--timestamps", *reach.options(), *(["--follow"] if again else []), name]

    def told(text: str) -> None:
        at, _, rest = text.partition(" ")
        tell(LogLine(name, at, rest))

    pipeline.follow(argv, told, env=program_environment())
