"""Hears when a project's container ends that nobody has asked to end, and has the project put right at once."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from catalog import audit, projects
from infra.errors import Unavailable
from jobs.requests import lifecycle

if TYPE_CHECKING:
    from infra.composition import Infra

log = logging.getLogger(__name__)
# How long one question is held: less than the broker lets anybody wait.
WAIT_SECONDS = 10.0
AWAY_SECONDS = 1.0


class ContainerWatcher:
    """Several may run: the first job for a project is the only one. What it misses is found by the sweep."""

    def __init__(self, infra: Infra) -> None:
        self._infra = infra
        self._after = time.time_ns()

    def run_once(self, wait_seconds: float = WAIT_SECONDS) -> int:
        """Wait for an end; return 1 when a job was enqueued for it. Raises Unavailable when Postgres is away."""
        try:
            at, project = self._infra.instances.wait_for_end(self._after, wait_seconds)
        except Unavailable as error:
            log.debug("containers are not watched", extra={"error": str(error)})
            time.sleep(AWAY_SECONDS)
            return 0
        found = project is not None and self._mend(project)
        self._after = at
        return int(found)

    def evict_intruders(self) -> int:
        """End containers that fill the folders of their sockets, which lie on the machine's disk; return how many.

        They are taken over by somebody, or broken: nobody of ours writes there. Their end is heard, and they are made
        anew. Raises Unavailable.
        """
        found = self._infra.instances.evict_intruders()
        for project in found:
            log.error("a container wrote beside its socket, and was removed", extra={"project_id": project})
            with self._infra.database.transaction() as tx:
                audit.record(tx, audit.AuditEntry("system", "container.intruder", "removed", project_id=project))
        return len(found)

    def _mend(self, project: str) -> bool:
        """Ask for it whatever was tried before: this end is a new one. Where a job is at work, it was that one's."""
        with suppress(projects.ProjectNotFound), self._infra.database.transaction() as tx:
            job = lifecycle.mend(tx, project, rest_seconds=0, owner_id=projects.owner_of(tx, project))
            if job is not None:
                log.warning("a container has ended", extra={"project_id": project, "job_id": job.id})
            return job is not None
        return False
