"""Rate limits, counted in Redis. When it is away everything passes, or each process counts by itself, as asked for."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from dataclasses import dataclass

import redis
from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage

from infra import exhaustion
from infra.signals.doorbell import REST_SECONDS, connect

log = logging.getLogger(__name__)
WINDOW_SECONDS = 60
# Of how many names a process keeps count while Redis is away; with one more it begins anew.
NAMES_MAX = 100_000


@dataclass(frozen=True)
class RateCount:
    """What is left of a limit. reset_seconds: until the window ends."""

    limit: int
    remaining: int
    reset_seconds: int
    passed: bool


class RateLimiter:
    """Counts per name and minute of the clock: one round trip to Redis a request."""

    def __init__(self, url: str) -> None:
        self._client = connect(url)
        self._storage = RedisStorage(
            "redis://", connection_pool=self._client.connection_pool, key_prefix="launchdb:rate"
        )
        self._silent_until = 0.0
        self._lock = threading.Lock()
        self._own: Counter[tuple[str, ...]] = Counter()
        self._own_window = 0

    def count(self, per_minute: int, *name: str) -> RateCount:
        """Count a request under a name; while Redis is away, those that came to this process."""
        return self.hit(per_minute, *name) or self._count_here(per_minute, name)

    def hit(self, per_minute: int, *name: str, amount: int = 1) -> RateCount | None:
        """Count so many requests under a name; None when Redis is away."""
        if time.monotonic() < self._silent_until:
            return None
        now = int(time.time())
        item = RateLimitItemPerMinute(per_minute)
        try:
            used = self._storage.incr(item.key_for(*name, str(now // WINDOW_SECONDS)), WINDOW_SECONDS, amount)
        except (redis.RedisError, OSError) as error:
            self._silent_until = time.monotonic() + REST_SECONDS
            reason = exhaustion.current_shortage() or type(error).__name__
            log.warning("rate limits are not counted", extra={"error": reason})
            return None
        left = WINDOW_SECONDS - now % WINDOW_SECONDS
        return RateCount(per_minute, max(0, per_minute - used), left, passed=used <= per_minute)

    def _count_here(self, per_minute: int, name: tuple[str, ...]) -> RateCount:
        now = int(time.time())
        with self._lock:
            if self._own_window != now // WINDOW_SECONDS or len(self._own) >= NAMES_MAX:
                self._own_window, self._own = now // WINDOW_SECONDS, Counter()
            self._own[name] += 1
            used = self._own[name]
        left = WINDOW_SECONDS - now % WINDOW_SECONDS
        return RateCount(per_minute, max(0, per_minute - used), left, passed=used <= per_minute)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class BatchedRateLimiter:
    """Counts the requests of projects by shares of a hundredth of their limit: Redis is asked once for each share.

    A process may leave the rest of its last share unused, so a limit of 100 or more is met to one part in a hundred for
    each process, and a smaller one exactly.
    """

    def __init__(self, limiter: RateLimiter) -> None:
        self._limiter = limiter
        self._lock = threading.Lock()
        self._left: dict[tuple[str, int, int], int] = {}

    def hit(self, name: str, per_minute: int) -> RateCount | None:
        """Count one request under a name; None when nobody counts, since Redis is away."""
        window = int(time.time()) // WINDOW_SECONDS
        with self._lock:
            if self._left.get((name, per_minute, window), 0) > 0:
                self._left[name, per_minute, window] -= 1
                return None
        share = max(1, per_minute // 100)
        counted = self._limiter.hit(per_minute, "data", name, amount=share)
        if counted is None or not counted.passed:
            return counted
        with self._lock:
            self._left = {key: left for key, left in self._left.items() if key[2] >= window}
            self._left[name, per_minute, window] = self._left.get((name, per_minute, window), 0) + share - 1
        return counted
