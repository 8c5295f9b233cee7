"""VACUUM (ANALYZE) of a project's tables: what a tenant put into an index runs as the table's owner.

The server sees to that, in an operation that gives no way back to the login.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from infra.errors import Unavailable
from infra.postgres.sql import statements
from infra.postgres.tenant_session import Bounds, TookTooLong, tenant_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from infra.postgres.cluster import Cluster
    from infra.postgres.tenant_session import TenantSession

SQL = statements(__file__)
Outcome = Literal["done", "busy", "gone", "failed"]
# A table that somebody locks for longer is left out; one that takes longer is broken off and left to the server's own.
TABLE_SECONDS = 6 * 3600
SETTINGS = {
    "search_path": "pg_catalog",
    "client_min_messages": "error",
    "default_transaction_read_only": "off",
}
BOUNDS = Bounds(TABLE_SECONDS, statement_seconds=TABLE_SECONDS, lock_seconds=5, size=16_000_000, settings=SETTINGS)


@dataclass(frozen=True)
class TableStats:
    """A table of the project as its statistics know it.

    pages    its size when it was last vacuumed or analysed
    changed  whether anything has happened since it was last vacuumed and analysed, or its age asks for it
    age      transactions since its oldest row was frozen
    """

    schema: str
    name: str
    pages: int
    dead: int
    changed: bool
    age: int


@dataclass(frozen=True)
class TableBloat:
    """How large a table is, and how much of that its rows do not need, in bytes; an estimate from its statistics."""

    name: str
    bytes: int
    bloat: int


class Vacuum:
    """One project's tables. `session` names the run: sessions of an older attempt are ended by that name."""

    def __init__(self, cluster: Cluster, uri: str, session: str) -> None:
        self._cluster = cluster
        self._uri = uri
        self._session = session

    def tables(self) -> list[TableStats]:
        """List the tables that the login may vacuum, the small ones first. Raises Unavailable."""
        with self._logged_in() as login, login.cursor(row_factory=class_row(TableStats)) as cursor:
            return cursor.execute(SQL.tables).fetchall()

    def size(self) -> int:
        """Return the bytes that the whole database takes. Raises Unavailable."""
        with self._logged_in() as login:
            row = login.execute(SQL.size).fetchone()
        return int(row[0]) if row else 0

    def bloat(self) -> list[TableBloat]:
        """Estimate for each table what of its space is bloat, the most bloated first. Raises Unavailable."""
        with self._logged_in() as login, login.cursor(row_factory=class_row(TableBloat)) as cursor:
            return cursor.execute(SQL.bloat).fetchall()

    def run(self, table: TableStats, look: Callable[[int], None]) -> Outcome:
        """Vacuum and analyse one table; `look` is told the pages scanned so far and may raise to break it off.

        Returns what became of it: busy when its lock was not to be had. Raises Unavailable.
        """
        statement = SQL.vacuum.format(table=sql.Identifier(table.schema, table.name))
        with self._logged_in() as login:
            pid = login.info.backend_pid
            try:
                with login.looking(lambda: look(self._scanned(pid))):
                    login.execute(statement)
            except TookTooLong:
                return "failed"
            except psycopg.Error as error:
                return _outcome(error)
            return "done"

    def _scanned(self, pid: int) -> int:
        with self._cluster.session(self._session) as admin:
            row = admin.execute(SQL.scanned, {"pid": pid}).fetchone()
        return int(row[0]) if row else 0

    def _logged_in(self) -> AbstractContextManager[TenantSession]:
        return tenant_session(self._cluster, self._uri, self._session, BOUNDS)


def _outcome(error: psycopg.Error) -> Outcome:
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return "busy"
    if isinstance(error, psycopg.errors.UndefinedTable):
        return "gone"
    # A function in an index may raise whatever its author likes: only a lost session says anything of the server.
    if isinstance(error, psycopg.errors.OperationalError) and (error.sqlstate or "08").startswith(("08", "53", "57P")):
        raise Unavailable(f"the session that vacuums was lost ({error.sqlstate})") from error
    return "failed"
