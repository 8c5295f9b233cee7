"""How large a project is, and how busy: one look, logged in as backups do, who read everything and write nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import dict_row

from infra.errors import LoginRefused, Refused, Unavailable
from infra.postgres.sql import statements
from infra.postgres.tenant_session import Bounds, tenant_session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.postgres.cluster import Cluster

SQL = statements(__file__)
# A large table of files is counted in less; whoever locks it is not waited for.
SETTINGS = {"search_path": "pg_catalog", "default_transaction_read_only": "on"}
BOUNDS = Bounds(15, statement_seconds=5, lock_seconds=1, size=4_000_000, settings=SETTINGS)


@dataclass(frozen=True)
class ProjectStats:
    """What was seen. rows are estimates of the server's own statistics; limit -1: none."""

    database_bytes: int
    used: int
    limit: int
    tables: Sequence[Mapping[str, Any]]
    objects: int
    object_bytes: int


def read_stats(cluster: Cluster, uri: str, session: str) -> ProjectStats:
    """Look at the project that `uri` leads to. Raises Unavailable when nobody can log in, or it takes too long."""
    try:
        with (
            tenant_session(cluster, uri, session, BOUNDS) as login,
            login.cursor(row_factory=dict_row) as cursor,
        ):
            database = cursor.execute(SQL.database).fetchone() or {}
            tables = cursor.execute(SQL.tables).fetchall()
            stored = cursor.execute(SQL.objects).fetchone() if database["stores"] else None
    except LoginRefused:
        raise
    except (Unavailable, Refused) as error:
        raise Unavailable(f"the project could not be looked at: {error}") from error
    except psycopg.Error as error:
        state = error.sqlstate or type(error).__name__
        raise Unavailable(f"the project could not be looked at ({state})") from error
    return ProjectStats(
        database_bytes=database["bytes"],
        used=database["used"],
        limit=database["limit"],
        tables=tables,
        objects=stored["objects"] if stored else 0,
        object_bytes=int(stored["bytes"]) if stored else 0,
    )
