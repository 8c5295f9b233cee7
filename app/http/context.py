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
    """The opened world with the API's own counters, caches and waiting rooms.

    slots  who waits for a job, by owners, each of whom has half of all places at most
    rooms  whose SQL runs, by projects
    """

    settings: Settings
    infra: Infra
    limiter: RateLimiter
    passwords: Passwords
    changes: JobChanges
    slots: KeyedConcurrencyLimit
    rooms: KeyedConcurrencyLimit
    metrics: Metrics = field(default_factory=Metrics)
    callers: Cache[Caller] = field(default_factory=lambda: Cache(seconds=1.0))
    statuses: Cache[str] = field(default_factory=lambda: Cache(seconds=1.0))

    @classmethod
    def of(cls, settings: Settings, infra: Infra) -> AppContext:
        """Make it; nothing connects yet."""
        return cls(
            settings=settings,
            infra=infra,
            limiter=RateLimiter(settings.redis_url),
            passwords=Passwords(settings.password_hash_concurrency),
            changes=JobChanges(settings.redis_url),
            slots=KeyedConcurrencyLimit(max(1, settings.event_streams // 2), settings.event_streams),
            rooms=KeyedConcurrencyLimit(settings.sql_connections, max(1, settings.api_threads // 4)),
        )

    def close(self) -> None:
        """Close what it opened itself; the infra belongs to whoever opened that."""
        self.passwords.close()
        self.changes.close()
        self.limiter.close()


def app_context() -> AppContext:
    """Return the world of the application that serves this request."""
    return cast("AppContext", current_app.extensions[EXTENSION])
