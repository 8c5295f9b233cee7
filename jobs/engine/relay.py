"""Rings again for what was not heard: a lost bell costs one relay interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.postgres.sql import statements

if TYPE_CHECKING:
    from infra.postgres.database import Database
    from infra.signals.doorbell import Doorbell

SQL = statements(__file__)
# Whoever hears a bell empties the table, so a few wake as many threads as there are cores to use.
MOST_BELLS = 16


class Relay:
    """Several may run: a bell too many is a look at the table, no more."""

    def __init__(self, database: Database, doorbell: Doorbell) -> None:
        self._database = database
        self._doorbell = doorbell

    def run_once(self) -> int:
        """Ring for claimable jobs in every queue whose bells have all been heard; return how many.

        Raises Unavailable when Postgres is away.
        """
        count = 0
        with self._database.autocommit() as tx:
            queues = [row["name"] for row in tx.rows(SQL.queues)]
        for queue in queues:
            if self._doorbell.waiting(queue):
                continue
            with self._database.autocommit() as tx:
                waiting = [row["id"] for row in tx.rows(SQL.claimable, {"queue": queue, "most": MOST_BELLS})]
            if waiting:
                self._doorbell.ring(queue, waiting)
                count += len(waiting)
        return count
