"""How large a project is, and how busy: one look, logged in as backups do, who read everything and write nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import dict_row

from infra.errors import LoginRefused, Unavailable
from infra.postgres.database import CONNECT_TIMEOUT_SECONDS, is_login_refused
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SQL = statements(__file__)
# A large table of files is counted in less; whoever locks it is not waited for.
OPTIONS = "-c search_path=pg_catalog -c statement_timeout=5s -c lock_timeout=1s -c default_transaction_read_only=on"


@dataclass(frozen=True)
class ProjectStats:
    """What was seen. rows are estimates of the server's own statistics; limit -1: none."""

    database_bytes: int
    used: int
    limit: int
    tables: Sequence[Mapping[str, Any]]
    objects: int
    object_bytes: int


def read_stats(uri: str, session: str) -> ProjectStats:
    """Look at the project that `uri` leads to. Raises Unavailable when nobody can log in, or it takes too long."""
    try:
        with psycopg.connect(
            uri,
            autocommit=True,
            row_factory=dict_row,
            application_name=session,
            options=OPTIONS,
            connect_timeout=int(CONNECT_TIMEOUT_SECONDS),
        ) as login:
            database = login.execute(SQL.database).fetchone() or {}
            tables = login.execute(SQL.tables).fetchall()
            stored = login.execute(SQL.objects).fetchone() if database["stores"] else None
    except psycopg.Error as error:
        if is_login_refused(error):
            raise LoginRefused("the project did not take the password") from error
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
