"""Keeps Storage from removing bytes, by a row in the project's database that it asks for in the same statement.

What was removed from a table before the row is there is in no snapshot that is taken after it, so nobody has to wait
for anybody. A row of somebody who died is over by the clock of the database.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infra.postgres.sql import statements

if TYPE_CHECKING:
    from infra.postgres.cluster import Cluster

SQL = statements(__file__)
# A worker that is stopped for longer than this begins its backup anew; one that is killed holds so long for nobody.
LEASE_SECONDS = 900.0
RENEWED_EVERY_SECONDS = 60.0
BACKUP, RESTORE = "backup:", "restore:"


@dataclass
class FilesHold:
    """One holder in one project's database.

    session  the name of our sessions
    holder   BACKUP or RESTORE with a job's id behind it
    """

    cluster: Cluster = field(repr=False)
    database: str
    session: str
    holder: str
    _renewed: float | None = field(default=None, init=False)

    def take(self) -> None:
        """Hold the bytes for a while. A database of an older version cannot be held. Raises Unavailable."""
        self._renewed = time.monotonic() if self._execute(SQL.take) is not None else None

    def renew(self) -> None:
        """Hold them for a while longer, where that is due. Raises Unavailable."""
        if self._renewed is not None and time.monotonic() - self._renewed > RENEWED_EVERY_SECONDS:
            self.confirm()

    def confirm(self) -> bool:
        """Return whether nothing was removed since `take`, and hold on. Raises Unavailable."""
        began = time.monotonic()
        if self._renewed is not None:
            self._renewed = began if self._execute(SQL.renew) == 1 else None
        return self._renewed is not None

    def keep(self) -> None:
        """Hold them until they are released, whoever dies meanwhile. Raises Unavailable."""
        self._execute(SQL.keep)

    def release(self) -> None:
        """Ensure that this holder holds nothing. Raises Unavailable."""
        self._execute(SQL.release)
        self._renewed = None

    def release_all_restores(self) -> None:
        """Ensure that nothing is held for the sake of what was there before a restore. Raises Unavailable."""
        self._execute(SQL.release_kind)

    def _execute(self, statement: str) -> int | None:
        """Return how many rows were changed; None where there is no such table."""
        with self.cluster.open_in_database(self.database, self.session) as admin:
            row = admin.execute(SQL.is_known).fetchone()
            if not (row and row[0]):
                return None
            values = {"holder": self.holder, "seconds": LEASE_SECONDS, "kind": RESTORE}
            return admin.execute(statement, values).rowcount
