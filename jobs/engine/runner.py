"""Claims jobs for one worker process and carries each to its next resting place."""

from __future__ import annotations

import logging
import time
from random import Random
from typing import TYPE_CHECKING

from config.logging import log_context
from infra.errors import Unavailable
from jobs.engine.attempt import Attempt
from jobs.engine.claimed_job import EngineContext
from jobs.engine.table import ClaimRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.composition import Infra
    from jobs.engine.lease import Leases
    from jobs.engine.table import Claim

log = logging.getLogger(__name__)


class Runner(EngineContext):
    """The engine of one process. Clock and randomness are parameters, so that schedules can be simulated.

    leases  who prolongs the leases of the jobs at hand
    """

    def __init__(  # noqa: PLR0913 - a composition of the engine's parameters
        self,
        infra: Infra,
        leases: Leases,
        *,
        worker: str,
        queues: list[str],
        serves: list[str],
        losses: Callable[[], int] = lambda: 0,
        scrub: Callable[[str], str] = str,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        random: Random | None = None,
    ) -> None:
        super().__init__(
            infra,
            losses=losses,
            scrub=scrub,
            clock=clock,
            sleep=sleep,
            random=random or Random(),  # noqa: S311 - jitter, not a secret
        )
        self.leases = leases
        self.worker = worker
        self.queues = queues
        self.serves = serves
        self._claims = ClaimRequest(worker, queues, serves, infra.settings.lease_seconds)

    def drain(self) -> int:
        """Run jobs until none can be claimed or the worker is asked to leave; return how many."""
        count = 0
        job = self._claim()
        while job is not None:
            count += 1
            job = self._carry(job, self._claims)
        return count

    def run_one(self) -> bool:
        """Claim the best job and carry it; say whether there was one."""
        job = self._claim()
        if job is not None:
            self._carry(job, None)
        return job is not None

    def _claim(self) -> Claim | None:
        if self.stopping:
            return None
        try:
            with self.infra.database.autocommit() as tx:
                return self._claims.take(tx)
        except Unavailable:
            return None  # the bell is rung again once Postgres is back

    def _carry(self, job: Claim, claims: ClaimRequest | None) -> Claim | None:
        """Carry a job to its next resting place; with `claims`, return the next one to carry."""
        lease = self.leases.add(job.id, job.fence)
        self.changed(job.id)
        try:
            with log_context(job_id=job.id, project_id=job.project_id, request_id=job.request_id):
                log.info("job claimed", extra={"kind": job.kind, "attempt": job.attempt, "fence": job.fence})
                attempt = Attempt(self, job, lease, claims)
                attempt.carry()
        finally:
            self.leases.remove(lease)
        if claims is None or attempt.asked:
            return attempt.next
        return self._claim()
