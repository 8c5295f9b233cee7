"""How large the server's databases are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg.rows import class_row

from infra.postgres.sql import statements

if TYPE_CHECKING:
    from infra.postgres.cluster import Cluster

SQL = statements(__file__)


@dataclass(frozen=True)
class DatabaseSize:
    """A database's size, in bytes and as people say it."""

    name: str
    bytes: int
    words: str


def database_sizes(cluster: Cluster, session: str) -> list[DatabaseSize]:
    """Return every database but template0 and template1, the largest first. Raises Unavailable."""
    with cluster.session(session) as admin, admin.cursor(row_factory=class_row(DatabaseSize)) as cursor:
        return cursor.execute(SQL.sizes).fetchall()


def sizes_of(cluster: Cluster, names: list[str], session: str) -> dict[str, int]:
    """Return the bytes of these databases, of those that are there. Raises Unavailable."""
    with cluster.session(session) as admin:
        return dict(admin.execute(SQL.sizes_of, {"names": names}).fetchall())
