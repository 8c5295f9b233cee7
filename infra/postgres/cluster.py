"""The administrator's sessions on the project cluster: one warm pool, named sessions, patience with lost races."""

from __future__ import annotations

import random
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infra.postgres.database import connect, pool_of, renew_sessions_on_failure, translate_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg_pool import ConnectionPool

T = TypeVar("T")
Session = psycopg.Connection[Any]

MAINTENANCE = "postgres"
DEPENDENCY = "postgres"
# Two sessions made the same role (42710, or 23505 on the catalogue itself), wrote the same row (XX000), dead-locked,
# or the database was in use or gone when looked at again: whoever looks once more finds out what is left to do.
RACES = frozenset({"42710", "42P04", "23505", "40P01", "55006", "XX000", "42704", "3D000"})
PAUSES_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0)
# Catalogue work only: nothing a tenant made is found by name, fires, or may stop us by a time-out.
OPTIONS = (
    "-c search_path=pg_catalog -c session_replication_role=replica -c row_security=off"
    " -c statement_timeout=0 -c idle_in_transaction_session_timeout=60000 -c client_min_messages=warning"
    " -c default_transaction_read_only=off"
)


class Cluster:
    """Superuser sessions on the server that holds the projects. Nothing connects before the first use."""

    def __init__(self, conninfo: str, *, max_size: int = 8) -> None:
        self._conninfo = make_conninfo(conninfo, dbname=MAINTENANCE)
        self._opening = threading.Lock()
        self._opened = False
        self._pool = pool_of(
            *(self._conninfo, "launchdb-administrator"),
            name="cluster",
            max_size=max_size,
            idle_seconds=300.0,
            options=OPTIONS,
        )

    @property
    def conninfo(self) -> str:
        """How the server is reached, as the administrator."""
        return self._conninfo

    @contextmanager
    def session(self, name: str) -> Iterator[Session]:
        """Lend a warm session on the maintenance database that bears `name` while it is lent.

        Raises Unavailable when the server is away or the statement lost a race for good.
        """
        pool = self._opened_pool()
        with translate_errors(DEPENDENCY), renew_sessions_on_failure(pool), pool.connection() as session:
            session.execute("SELECT set_config('application_name', %s, false)", (name,))
            try:
                yield session
            finally:
                if not (session.closed or session.broken):
                    session.execute("RESET application_name")

    @contextmanager
    def open_in_database(self, database: str, name: str) -> Iterator[Session]:
        """Open a session in a project's database, for catalogue work. Raises Unavailable."""
        with translate_errors(DEPENDENCY), self.opened_inside(database, name) as session:
            yield session

    def opened_inside(self, database: str, name: str) -> Session:
        """Open such a session for whoever closes it; the server's end of it is noticed. Raises Unavailable."""
        conninfo = make_conninfo(self._conninfo, dbname=database, options=OPTIONS)
        return connect(conninfo, name, dependency=DEPENDENCY)

    def retry_races(self, act: Callable[[], T]) -> T:
        """Call `act`, which looks before it acts, again when it lost a race against another session."""
        for pause in PAUSES_SECONDS:
            try:
                return act()
            except Exception as error:
                if not is_race(error):
                    raise
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, not a secret
        return act()

    def uri(self, database: str, user: str, password: str) -> str:
        """Return the libpq URI with which `user` reaches `database` on this server."""
        known = conninfo_to_dict(self._conninfo)
        host, port = str(known.get("host") or "127.0.0.1"), str(known.get("port") or "5432")
        who = f"{quote(user, safe='')}:{quote(password, safe='')}"
        if host.startswith("/"):  # a socket's folder stands in no URI's middle
            return f"postgresql://{who}@/{quote(database)}?host={quote(host, safe='')}&port={port}"
        return f"postgresql://{who}@{host}:{port}/{quote(database)}"

    def close(self) -> None:
        """Give the sessions back."""
        self._pool.close()

    def _opened_pool(self) -> ConnectionPool[Session]:
        with self._opening:
            if not self._opened:
                self._pool.open(wait=False)
                self._opened = True
        return self._pool


def is_race(error: BaseException) -> bool:
    """Return whether this error, or the one it was translated from, is a race that a second look settles."""
    cause = error if isinstance(error, psycopg.Error) else error.__cause__
    if not isinstance(cause, psycopg.Error) or cause.sqlstate not in RACES:
        return False
    return cause.sqlstate != "XX000" or "tuple concurrently" in str(cause)
