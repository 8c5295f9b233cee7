"""How long the parts of a request took, for those who may know it."""

from __future__ import annotations

import time


class Stopwatch:
    """Measures the parts of one request, which follow one another."""

    def __init__(self, *, runs: bool) -> None:
        self._runs, self._began = runs, time.perf_counter() if runs else 0.0
        self._seconds: dict[str, float] = {}

    def lap(self, part: str) -> None:
        """Note that a part has ended, and the next begun. A part that is begun anew counts anew."""
        if self._runs:
            now = time.perf_counter()
            self._seconds[part], self._began = now - self._began, now

    def skip(self) -> None:
        """Begin the next part now: what has gone by since the last one counts for none."""
        if self._runs:
            self._began = time.perf_counter()

    def header(self) -> list[tuple[str, str]]:
        """Return the Server-Timing header, in milliseconds, or nothing."""
        parts = ", ".join(f"{part};dur={seconds * 1000:.1f}" for part, seconds in self._seconds.items())
        return [("Server-Timing", parts)] if parts else []


STOPPED = Stopwatch(runs=False)
