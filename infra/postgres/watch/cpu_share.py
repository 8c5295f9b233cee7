"""Whose sessions step back when processors are short: a project's, or an owner's, that use more than their share.

Nothing is taken from them while nobody else needs it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from infra.postgres.watch.snapshot import Backend, Snapshot, WatchLimits

# As far as one can step back.
LOW = 19
# What counts is the use of so many seconds, the last ones most.
SECONDS = 3.0
# Who is above it steps back until it is so far below its share.
SETTLED = 0.5
# So many at a look: each may take a tenth of a second.
AT_A_TIME = 8


@dataclass(frozen=True)
class CpuShares:
    """What projects and owners use, by the clock of the watchdog.

    used    seconds of a processor that each process had used at the last look
    busy    processors that a project, or an owner, uses or would use if it was given them
    beyond  those of them that use more than their share
    raised  processes that were let go before others again, as far as they could be
    """

    at: float | None = None
    used: Mapping[tuple[int, datetime], float] = field(default_factory=dict)
    busy: Mapping[str, float] = field(default_factory=dict)
    beyond: frozenset[str] = frozenset()
    raised: frozenset[tuple[int, datetime]] = frozenset()

    def with_look(self, seen: Snapshot, limits: WatchLimits, now: float) -> CpuShares:
        """Return what is known once a look has been added."""
        clients = [each for each in seen.backends if each.is_client]
        used = {each.identity: each.cpu for each in clients}
        raised = self.raised & used.keys()
        if self.at is None or now <= self.at:
            return replace(self, at=now if self.at is None else self.at, used=used, raised=raised)
        busy, kept = defaultdict[str, float](float), math.exp((self.at - now) / SECONDS)
        for name, before in self.busy.items():
            busy[name] += before * kept
        for each in clients:
            rate = self._rate(each, now - self.at)
            for name in {each.project, seen.owner(each.project)}:
                busy[name] += rate * (1 - kept)
        busy = defaultdict(float, {name: value for name, value in busy.items() if value > limits.cpu / 100})
        beyond = {name for name, value in busy.items() if self._is_beyond(name, value, seen, limits)}
        return CpuShares(
            now,
            used,
            busy,
            frozenset(beyond),
            raised - {each.identity for each in clients if name_of(each, seen) & beyond},
        )

    def to_change(self, seen: Snapshot) -> list[tuple[Backend, int]]:
        """Return the sessions that are to step back, or to do so no more, each with how far: the busiest first."""
        lower, lift = [], []
        for each in filter(lambda one: one.is_client, seen.backends):
            if name_of(each, seen) & self.beyond:
                if each.nice < LOW:
                    lower.append((each, LOW))
            elif each.nice >= LOW and each.identity not in self.raised:
                lift.append((each, 0))
        lower.sort(key=lambda change: -change[0].cpu)
        return (lower + lift)[:AT_A_TIME]

    def with_changes(self, done: list[tuple[Backend, int]]) -> CpuShares:
        """Return what is known once these have been carried out."""
        return replace(self, raised=self.raised | {each.identity for each, nice in done if nice == 0})

    def _rate(self, backend: Backend, seconds: float) -> float:
        """Return how many processors a session uses; one that steps back, how many it would."""
        if backend.nice >= LOW:
            return float(backend.runs and not backend.wait)
        return max(0.0, backend.cpu - self.used.get(backend.identity, 0.0)) / seconds

    def _is_beyond(self, name: str, value: float, seen: Snapshot, limits: WatchLimits) -> bool:
        whole = (
            limits.cpu if name not in set(seen.owners.values()) else max(limits.cpu, limits.owner * limits.processors)
        )
        return value > whole * (SETTLED if name in self.beyond else 1.0)


def name_of(backend: Backend, seen: Snapshot) -> set[str]:
    """Return in whose names a session uses processors: its project's and its owner's."""
    return {backend.project, seen.owner(backend.project)}
