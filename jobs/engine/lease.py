"""The leases of one worker process: renewed together, lost one by one."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infra import alive_file
from infra.errors import Unavailable
from jobs.engine.table import SQL

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.settings import Settings
    from infra.postgres.database import Database

log = logging.getLogger(__name__)
RETRY_SECONDS = 0.2


@dataclass
class Lease:
    """One held job. `deadline` is on this process's monotonic clock, earlier than the database's own."""

    job_id: str
    fence: int
    deadline: float
    lost: threading.Event = field(default_factory=threading.Event)
    cancelling: threading.Event = field(default_factory=threading.Event)

    def expired(self, now: float) -> bool:
        """Whether this worker must consider the job another's."""
        return self.lost.is_set() or now > self.deadline


class Leases:
    """Renews every lease of this process, one statement a beat."""

    def __init__(
        self, database: Database, settings: Settings, *, worker: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._settings = settings
        self._worker = worker
        self._clock = clock
        self._held: dict[tuple[str, int], Lease] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopped = threading.Event()

    def add(self, job_id: str, fence: int) -> Lease:
        """Begin to renew a lease that was just claimed."""
        lease = Lease(job_id, fence, self._next_deadline(self._clock()))
        with self._lock:
            self._held[job_id, fence] = lease
        return lease

    def remove(self, lease: Lease) -> None:
        """Stop renewing."""
        with self._lock:
            self._held.pop((lease.job_id, lease.fence), None)

    def held(self) -> list[Lease]:
        """Return what is held now."""
        with self._lock:
            return list(self._held.values())

    def renew_all(self) -> None:
        """Renew everything held. Raises Unavailable when Postgres is away."""
        # One that was given up for lost lapses, and its job goes to another worker.
        leases = [lease for lease in self.held() if not lease.lost.is_set()]
        asked_at = self._clock()
        with self._database.autocommit() as tx:
            renewed = tx.rows(
                SQL.renew,
                {
                    "worker": self._worker,
                    "lease": self._settings.lease_seconds,
                    "ids": [lease.job_id for lease in leases],
                    "fences": [lease.fence for lease in leases],
                },
            )
        status = {(row["id"], row["fence"]): row["status"] for row in renewed}
        for lease in leases:
            self._learn(lease, status.get((lease.job_id, lease.fence)), asked_at)

    def _learn(self, lease: Lease, status: str | None, asked_at: float) -> None:
        if status is None:
            lease.lost.set()
            return
        lease.deadline = self._next_deadline(asked_at)
        if status == "cancelling":
            lease.cancelling.set()

    def _next_deadline(self, asked_at: float) -> float:
        return asked_at + self._settings.lease_seconds - self._settings.give_up_seconds

    def run(self) -> None:
        """Beat until stopped; a missed beat is tried again at once and often."""
        while not self._stopped.is_set():
            pause = self._settings.beat_seconds
            try:
                self.renew_all()
                alive_file.touch_alive_file(self._settings.alive_file)
            except Unavailable:
                pause = RETRY_SECONDS
                log.info("beat missed")
            self._wake.wait(pause)
            self._wake.clear()

    def renew_soon(self) -> None:
        """Wake the beating thread at once: Postgres is back."""
        self._wake.set()

    def stop(self) -> None:
        """End run()."""
        self._stopped.set()
        self._wake.set()
