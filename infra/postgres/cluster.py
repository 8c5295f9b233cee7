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

from infra.errors import Unavailable
from infra.postgres.admin.bounds import CATALOGUE
from infra.postgres.database import connect, pool_of, renew_sessions_on_failure, translate_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg_pool import ConnectionPool

    from infra.postgres.admin.bounds import SessionBounds

T = TypeVar("T")
Session = psycopg.Connection[Any]

MAINTENANCE = "postgres"
DEPENDENCY = "postgres"
# Two sessions made the same role (42710, or 23505 on the catalogue itself), wrote the same row (XX000), dead-locked,
# or the database was in use or gone when looked at again: whoever looks once more finds out what is left to do.
RACES = frozenset({"42710", "42P04", "23505", "40P01", "55006", "XX000", "42704", "3D000"})
PAUSES_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0)
# Catalogue work only: nothing a tenant made is found by name or fires; how long we wait is for us alone to say.
SERVICE_OPTIONS = (
    "-c search_path=pg_catalog -c row_security=off"
    " -c idle_in_transaction_session_timeout=60000 -c client_min_messages=warning"
    " -c default_transaction_read_only=off"
)
OPTIONS = f"{SERVICE_OPTIONS} -c session_replication_role=replica"

LEND = """SELECT set_config('application_name', %s, false), set_config('lock_timeout', %s, false),
                 set_config('statement_timeout', %s, false)"""


class Cluster:
    """Superuser sessions on the server that holds the projects. Nothing connects before the first use.

    bounds         how long such a session waits, where whoever asks for one does not say
    administrator  False for the login of a service that is not the superuser: it may look at the server's catalogue and
                   end sessions of projects' logins, and into no project's database
    """

    def __init__(
        self, conninfo: str, *, max_size: int = 8, bounds: SessionBounds = CATALOGUE, administrator: bool = True
    ) -> None:
        self._bounds = bounds
        self._conninfo = make_conninfo(conninfo, dbname=MAINTENANCE)
        self._sessions = make_conninfo(self._conninfo, options=OPTIONS if administrator else SERVICE_OPTIONS)
        self._opening = threading.Lock()
        self._opened = False
        self._pool = pool_of(
            *(self._sessions, "launchdb-administrator"),
            name="cluster",
            max_size=max_size,
            idle_seconds=300.0,
            bounds=bounds,
        )

    @property
    def conninfo(self) -> str:
        """How the server is reached, as the administrator."""
        return self._conninfo

    def conninfo_in(self, database: str) -> str:
        """Return how a database of the server is reached as the administrator, without any options."""
        return make_conninfo(self._conninfo, dbname=database)

    @contextmanager
    def session(self, name: str, bounds: SessionBounds | None = None) -> Iterator[Session]:
        """Lend a warm session on the maintenance database that bears `name` and waits so long while it is lent.

        Raises Unavailable when the server is away, it took too long or the statement lost a race for good.
        """
        pool = self._opened_pool()
        with _in_time(), renew_sessions_on_failure(pool), pool.connection() as session:
            told = bounds or self._bounds
            session.execute(LEND, (name, str(told.lock_milliseconds), str(told.statement_milliseconds)))
            try:
                yield session
            finally:
                if not (session.closed or session.broken):
                    session.execute("RESET ALL")

    @contextmanager
    def open_in_database(self, database: str, name: str, bounds: SessionBounds | None = None) -> Iterator[Session]:
        """Open a session in a project's database, for catalogue work. Raises Unavailable."""
        with _in_time(), self.opened_inside(database, name, bounds) as session:
            yield session

    def opened_inside(self, database: str, name: str, bounds: SessionBounds | None = None) -> Session:
        """Open such a session for whoever closes it; the server's end of it is noticed. Raises Unavailable."""
        conninfo = make_conninfo(self._sessions, dbname=database)
        return connect(conninfo, name, dependency=DEPENDENCY, bounds=bounds or self._bounds)

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


@contextmanager
def _in_time() -> Iterator[None]:
    with translate_errors(DEPENDENCY):
        try:
            yield
        except psycopg.errors.QueryCanceled as error:
            raise Unavailable("Postgres took longer than it was given, and was broken off (57014)") from error


def is_race(error: BaseException) -> bool:
    """Return whether this error, or the one it was translated from, is a race that a second look settles."""
    cause = error if isinstance(error, psycopg.Error) else error.__cause__
    if not isinstance(cause, psycopg.Error) or cause.sqlstate not in RACES:
        return False
    return cause.sqlstate != "XX000" or "tuple concurrently" in str(cause)
