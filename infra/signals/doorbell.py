"""The doorbell: job ids on a Redis list. Losing one, or all of Redis, costs latency and nothing else."""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from infra import exhaustion

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

# A bell is a hint: whoever hears one empties the table, so a long list of them says nothing more than a short one.
LONGEST_LIST = 10_000
# A request must not wait for a doorbell: one short try, then none for a while.
TIMEOUT_SECONDS = 0.25
REST_SECONDS = 1.0
GATHER_SECONDS = 0.01
# An answer that the server holds back comes late: Valkey looks at its clock once a second, and a busy machine later.
LATE_SECONDS = 4.0
CHANGES = "launchdb:changes"


def bell_key(queue: str) -> str:
    """Name the Redis list that holds the bells of `queue`."""
    return f"launchdb:bell:{queue}"


def connect(url: str, *, timeout_seconds: float | None = TIMEOUT_SECONDS) -> redis.Redis:
    """Make a client that gives up after `timeout_seconds` and never retries by itself."""
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )


def connect_to_wait(url: str, *, held_seconds: float) -> redis.Redis:
    """Make a client for a call whose answer the server holds back for up to `held_seconds`: late is not away."""
    return connect(url, timeout_seconds=held_seconds + LATE_SECONDS)


def _publish(job_ids: list[str], pipe: Any) -> None:
    for job_id in job_ids:
        pipe.publish(CHANGES, job_id)


class Doorbell:
    """Rings for waiting jobs and tells watchers that a job changed. Never raises: Redis is not the truth."""

    def __init__(self, url: str) -> None:
        self._redis = connect(url)
        self.fallback: Callable[[list[str]], None] | None = None
        self._silent_until = 0.0
        self._away = False
        self._changed: dict[str, None] = {}
        self._news = threading.Condition()
        self._announcer: threading.Thread | None = None
        self._closed = False

    def ring(self, queue: str, job_ids: list[str]) -> bool:
        """Wake a worker of `queue`; say whether Redis was reached (else the fallback, NOTIFY, was used)."""
        key = bell_key(queue)

        def push(pipe: Any) -> None:
            pipe.lpush(key, *job_ids)
            pipe.ltrim(key, 0, LONGEST_LIST - 1)

        if self._try(push):
            return True
        if self.fallback is not None:
            self.fallback(job_ids)
        return False

    def changed(self, job_id: str) -> None:
        """Tell whoever watches that this job's row has changed; a thread of its own does, so that no step waits."""
        with self._news:
            self._changed[job_id] = None
            if self._announcer is None:
                self._announcer = exhaustion.start_thread(self._announce, name="announcer")
            if len(self._changed) == 1:
                self._news.notify()

    def _announce(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._changed or self._closed)
                if self._closed:
                    return
                job_ids, self._changed = list(self._changed), {}
            self._try(partial(_publish, job_ids))
            # Under load the next word holds many jobs; a watcher does not see ten milliseconds.
            time.sleep(GATHER_SECONDS)

    def waiting(self, queue: str) -> int | None:
        """Count the bells nobody has heard yet; None when Redis is away."""
        try:
            return int(self._redis.llen(bell_key(queue)))  # type: ignore[arg-type]
        except (redis.RedisError, OSError):
            return None

    def check(self) -> None:
        """Raise redis.RedisError unless Redis answers."""
        self._redis.ping()

    def close(self) -> None:
        """Close the connections; what has not been told yet is found by those who poll."""
        with self._news:
            self._closed = True
            self._news.notify()
        if self._announcer is not None:
            self._announcer.join(2 * TIMEOUT_SECONDS)
        self._redis.close()

    def _try(self, fill: Callable[[Any], object]) -> bool:
        if time.monotonic() < self._silent_until:
            return False
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                fill(pipe)
                pipe.execute()
        except (redis.RedisError, OSError) as error:
            self._silent_until = time.monotonic() + REST_SECONDS
            self._say(away=type(error).__name__)
            return False
        self._say(away="")
        return True

    def _say(self, *, away: str) -> None:
        """Log that Redis is away, and that it is back: once each."""
        if away and not self._away:
            log.warning("doorbell unreachable", extra={"error": exhaustion.current_shortage() or away})
        elif self._away and not away:
            log.info("doorbell reached again")
        self._away = bool(away)
