"""Looks for active projects that nobody asks any more, and asks for each to be put to sleep."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from catalog.projects import ProjectBusy
from infra.postgres.sql import statements
from jobs.kinds.project.sleep import has_been_idle
from jobs.requests import lifecycle

if TYPE_CHECKING:
    from infra.composition import Infra

log = logging.getLogger(__name__)
SQL = statements(__file__)


class IdleScaler:
    """Several may run: a job that is open already is returned, and one too many finds nothing to do."""

    def __init__(self, infra: Infra) -> None:
        self._infra = infra

    def run_once(self) -> int:
        """Look once; return how many projects are to sleep. Raises Unavailable when Postgres is away."""
        with self._infra.database.autocommit() as tx:
            rows = tx.rows(SQL.may_sleep)
        idle = [row for row in rows if has_been_idle(self._infra, row["id"], row)]
        return sum(self._ask(row["id"], row["owner_id"]) for row in idle)

    def _ask(self, project_id: str, owner_id: str) -> bool:
        try:
            with self._infra.database.transaction() as tx:
                job = lifecycle.sleep(tx, project_id, owner_id=owner_id)
        except ProjectBusy:
            return False
        log.info("project is idle", extra={"project_id": project_id, "job_id": job.id})
        return True
