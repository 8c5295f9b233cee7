"""Rate limits, counted in Redis. When Redis is away everything passes, with a line in the log."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import redis
from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage

from infra.doorbell import REST_SECONDS, connect

log = logging.getLogger(__name__)
WINDOW_SECONDS = 60


@dataclass(frozen=True)
class Count:
    """What is left of a limit. reset_seconds: until the window ends."""

    limit: int
    remaining: int
    reset_seconds: int
    passed: bool


class Limiter:
    """Counts per name and minute of the clock: one round trip to Redis a request."""

    def __init__(self, url: str) -> None:
        self._client = connect(url)
        self._storage = RedisStorage(
            "redis://", connection_pool=self._client.connection_pool, key_prefix="launchdb:rate"
        )
        self._silent_until = 0.0

    def hit(self, per_minute: int, *name: str) -> Count | None:
        """Count one request under a name; None when Redis is away."""
        if time.monotonic() < self._silent_until:
            return None
        now = int(time.time())
        item = RateLimitItemPerMinute(per_minute)
        try:
            used = self._storage.incr(item.key_for(*name, str(now // WINDOW_SECONDS)), WINDOW_SECONDS)
        except redis.RedisError as error:
            self._silent_until = time.monotonic() + REST_SECONDS
            log.warning("rate limits are not counted", extra={"error": type(error).__name__})
            return None
        left = WINDOW_SECONDS - now % WINDOW_SECONDS
        return Count(per_minute, max(0, per_minute - used), left, passed=used <= per_minute)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
