"""What one process of the API shares between its requests."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from flask import current_app

from app.http.cache import Cache
from app.http.metrics import Metrics
from infra.opened import Opened, close_opened
from infra.secrets.passwords import Passwords
from infra.signals.changes import JobChanges
from infra.signals.limiter import RateLimiter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.http.caller import Caller
    from config.settings import Settings
    from infra.composition import Infra

EXTENSION = "launchdb"


class ConcurrencyLimit:
    """How many requests may wait for something at a time; each holds a thread."""

    def __init__(self, count: int) -> None:
        self._free = threading.BoundedSemaphore(count)

    def acquire(self) -> bool:
        """Take a slot, if there is one."""
        return self._free.acquire(blocking=False)

    def release(self) -> None:
        """Free the place for another."""
        self._free.release()

    @contextmanager
    def hold(self) -> Iterator[bool]:
        """Hold a slot, if there is one; say whether."""
        held = self.acquire()
        try:
            yield held
        finally:
            if held:
                self.release()


class KeyedConcurrencyLimit:
    """How many requests may be busy with one thing at a time, and with all of them together."""

    def __init__(self, each: int, together: int) -> None:
        self._each, self._together = each, together
        self._lock = threading.Lock()
        self._busy: Counter[str] = Counter()

    def acquire(self, key: str) -> bool:
        """Take a place, if there is one."""
        with self._lock:
            free = self._busy[key] < self._each and self._busy.total() < self._together
            self._change(key, int(free))
        return free

    def release(self, key: str) -> None:
        """Free the place for another."""
        with self._lock:
            self._change(key, -1)

    @contextmanager
    def hold(self, key: str) -> Iterator[bool]:
        """Hold a place, if there is one; say whether."""
        held = self.acquire(key)
        try:
            yield held
        finally:
            if held:
                self.release(key)

    def _change(self, key: str, by: int) -> None:
        self._busy[key] += by
        if not self._busy[key]:
            del self._busy[key]


@dataclass
class AppContext:
    """The opened world with the API's own counters, caches and waiting rooms; what nobody asks for is not made."""

    settings: Settings
    infra: Infra
    metrics: Metrics = field(default_factory=Metrics)
    callers: Cache[Caller] = field(default_factory=lambda: Cache(seconds=1.0))
    statuses: Cache[str] = field(default_factory=lambda: Cache(seconds=1.0))

    @Opened
    def limiter(self) -> RateLimiter:
        """What counts requests."""
        return RateLimiter(self.settings.redis_url)

    @Opened
    def passwords(self) -> Passwords:
        """What hashes passwords."""
        return Passwords(self.settings.password_hash_concurrency)

    @Opened
    def changes(self) -> JobChanges:
        """What tells of jobs that moved."""
        return JobChanges(self.settings.redis_url)

    @Opened
    def slots(self) -> KeyedConcurrencyLimit:
        """Who waits for a job, by owners, each of whom has half of all places at most."""
        streams = self.settings.event_streams
        return KeyedConcurrencyLimit(max(1, streams // 2), streams)

    @Opened
    def rooms(self) -> KeyedConcurrencyLimit:
        """Whose SQL runs, by projects."""
        return KeyedConcurrencyLimit(self.settings.sql_connections, max(1, self.settings.api_threads // 4))

    def close(self) -> None:
        """Close what it opened itself; the infra belongs to whoever opened that."""
        close_opened(self, "passwords", "changes", "limiter")


def app_context() -> AppContext:
    """Return the world of the application that serves this request."""
    return cast("AppContext", current_app.extensions[EXTENSION])
