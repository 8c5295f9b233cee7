"""Seals the audit: chains its rows within seconds, in the order of their ids."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from catalog import audit_chain

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.postgres.database import Database

MOST_ROWS = 1000
PATIENCE_SECONDS = 1.0
PAUSE_SECONDS = 0.02


class AuditSealer:
    """Several may run: they take turns by the row that ends the chain.

    A row may be seen while a lower id is still in a transaction that has not committed. Whoever inserts holds a
    writer's lock from before the id is drawn until after the commit: once everybody who wrote when an id was seen is
    done, no lower one can come. Somebody who takes longer makes the seal wait; it never passes them.
    """

    def __init__(self, database: Database, *, sleep: Callable[[float], object] = time.sleep) -> None:
        self._database = database
        self._sleep = sleep

    def run_once(self) -> int:
        """Seal one batch; return how many rows. Raises Unavailable when Postgres is away."""
        with self._database.autocommit() as tx:
            upto = audit_chain.newest_unsealed(tx)
        if upto is None or not self._quiet():
            return 0
        with self._database.transaction() as tx:
            return audit_chain.seal(tx, upto, most=MOST_ROWS)

    def _quiet(self) -> bool:
        """Wait a moment for those who write now; say whether all of them are done."""
        with self._database.autocommit() as tx:
            before = audit_chain.open_writers(tx)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while before and time.monotonic() < deadline:
            self._sleep(PAUSE_SECONDS)
            with self._database.autocommit() as tx:
                before &= audit_chain.open_writers(tx)
        return not before
