"""What a process that serves projects' data has counted, for the one that is asked for all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.http.metrics import Answered
from app.server.shares import FIGURES, Figures, Lane

if TYPE_CHECKING:
    from app.http.metrics import Metrics


class ProcessFigures:
    """Takes what was counted here since the last time, and adds what others have taken."""

    def __init__(self, metrics: Metrics, shares: Figures = FIGURES) -> None:
        self._metrics, self._shares = metrics, shares
        self._threads: Any = None

    def take(self) -> dict[str, Any] | None:
        """Return what is new as JSON can hold it; None where nothing is."""
        answered = self._metrics.take()
        threads = [dict(self._shares.limits), dict(self._shares.used), dict(self._shares.waiting)]
        refused = self._shares.take_refused()
        if not answered and not refused and threads == self._threads:
            return None
        self._threads = threads
        return {"answered": answered, "threads": threads, "refused": refused}

    def hear(self, slot: int, told: dict[str, Any]) -> None:
        """Add what the process of that number has taken."""
        self._metrics.add([Answered(*each) for each in told["answered"]])
        self._shares.others[slot] = told["threads"]
        for kind, key, count, at in told["refused"]:
            self._shares.refuse(Lane(kind, key), count, at)
