"""Hears which jobs change, so that whoever waits for one wakes within milliseconds; without Redis they poll."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

import redis

from infra import exhaustion
from infra.signals.doorbell import CHANGES, REST_SECONDS, connect

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)
# A message may be lost while the subscription is being renewed, so even those who hear look by themselves now and then.
HEARING_POLL_SECONDS, DEAF_POLL_SECONDS = 0.5, 0.25


class JobChanges:
    """One subscription for all who wait in this process; its thread starts with the first of them."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._waiting: defaultdict[str, set[threading.Event]] = defaultdict(set)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._hears = False

    @contextmanager
    def watch(self, job_id: str) -> Iterator[threading.Event]:
        """Give an event that is set whenever the job changes. Look at the row after this, then wait."""
        event = threading.Event()
        with self._lock:
            self._waiting[job_id].add(event)
            if self._thread is None:
                self._thread = exhaustion.start_thread(self._listen, name="changes")
        try:
            yield event
        finally:
            with self._lock:
                self._waiting[job_id].discard(event)
                if not self._waiting[job_id]:
                    del self._waiting[job_id]

    @property
    def poll_seconds(self) -> float:
        """How long to wait for the event before looking without it."""
        return HEARING_POLL_SECONDS if self._hears else DEAF_POLL_SECONDS

    def close(self) -> None:
        """Stop listening."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=2 * REST_SECONDS)

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                self._hear()
            except (redis.RedisError, OSError) as error:
                reason = exhaustion.current_shortage() or type(error).__name__
                log.info("changes of jobs are not heard", extra={"error": reason})
            self._hears = False
            self._stop.wait(REST_SECONDS)

    def _hear(self) -> None:
        with connect(self._url, timeout_seconds=5.0) as client, client.pubsub(ignore_subscribe_messages=True) as heard:
            heard.subscribe(CHANGES)
            self._hears = True
            while not self._stop.is_set():
                message = heard.get_message(timeout=REST_SECONDS)
                if message is not None:
                    self._wake(str(message["data"]))

    def _wake(self, job_id: str) -> None:
        with self._lock:
            for event in self._waiting.get(job_id, ()):
                event.set()
