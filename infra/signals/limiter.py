"""Rate limits, counted in Redis. When it is away everything passes, or each process counts by itself, as asked for."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import redis
from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage

from infra import exhaustion
from infra.signals.doorbell import REST_SECONDS, connect

if TYPE_CHECKING:
    from collections.abc import Callable

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
        # What this process keeps by itself while Redis is away: until when, and how many.
        self._own: dict[tuple[str, ...], tuple[float, int]] = {}

    def count(self, limit: int, *name: str, seconds: int = WINDOW_SECONDS) -> RateCount:
        """Count a request under a name; while Redis is away, those that came to this process.

        limit  of how many there may be within each window of so many seconds
        """
        return self.hit(limit, *name, seconds=seconds) or self._count_here(limit, name, seconds)

    def hit(self, limit: int, *name: str, amount: int = 1, seconds: int = WINDOW_SECONDS) -> RateCount | None:
        """Count so many requests under a name; None when Redis is away."""
        now = int(time.time())
        key = RateLimitItemPerMinute(limit).key_for(*name, str(now // seconds))
        used = self._asked(lambda: self._storage.incr(key, seconds, amount))
        return None if used is None else _counted(limit, used, seconds, now)

    def claim(self, seconds: int, *name: str) -> int:
        """Have a name to oneself for so many seconds: 0, or for how long somebody else has it still."""
        key = f"launchdb:claim:{'/'.join(name)}"

        def ask() -> int:
            return (
                0 if self._client.set(key, "", nx=True, ex=seconds) else max(1, int(cast("int", self._client.ttl(key))))
            )

        left = self._asked(ask)
        return self._claim_here(seconds, name) if left is None else left

    def _asked(self, question: Callable[[], int]) -> int | None:
        """Return what Redis says, or None when it is away, which is asked about once in a while."""
        if time.monotonic() < self._silent_until:
            return None
        try:
            return question()
        except (redis.RedisError, OSError) as error:
            self._silent_until = time.monotonic() + REST_SECONDS
            reason = exhaustion.current_shortage() or type(error).__name__
            log.warning("rate limits are not counted", extra={"error": reason})
            return None

    def _count_here(self, limit: int, name: tuple[str, ...], seconds: int) -> RateCount:
        now = int(time.time())
        with self._lock:
            _, used = self._kept(name)
            self._own[name] = (now // seconds * seconds + seconds, used + 1)
        return _counted(limit, used + 1, seconds, now)

    def _claim_here(self, seconds: int, name: tuple[str, ...]) -> int:
        with self._lock:
            until, used = self._kept(("claim", *name))
            if used:
                return max(1, int(until - time.time()))
            self._own["claim", *name] = (time.time() + seconds, 1)
        return 0

    def _kept(self, name: tuple[str, ...]) -> tuple[float, int]:
        """Return until when a count of this process holds, and how many it is; the lock is held."""
        now = time.time()
        if len(self._own) >= NAMES_MAX:
            self._own = {}
        until, used = self._own.get(name, (0.0, 0))
        return (until, used) if until > now else (0.0, 0)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _counted(limit: int, used: int, seconds: int, now: int) -> RateCount:
    return RateCount(limit, max(0, limit - used), seconds - now % seconds, passed=used <= limit)


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
