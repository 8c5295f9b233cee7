"""Pools and transactions on one Postgres database; translates psycopg's errors at the edge."""

from __future__ import annotations

import logging
import select
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import psycopg
from psycopg.rows import class_row, dict_row
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from infra import exhaustion
from infra.errors import LockTableFull, LoginRefused, Refused, Unavailable
from infra.postgres.admin.bounds import PLATFORM, SessionBounds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.abc import QueryNoTemplate as Query

T = TypeVar("T")
log = logging.getLogger(__name__)

# Class 08 is the connection, 53 resources, 57P0x a shutdown or start; 40001/40P01 lost a race; 55006 somebody uses it.
TRANSIENT_STATES = frozenset({"40001", "40P01", "55006", "55P03", "57P01", "57P02", "57P03", "57P05", "25P03"})
TRANSIENT_CLASSES = ("08", "53")
LOCK_NOT_AVAILABLE = "55P03"
# Limit of connections of a database whose DROP was interrupted: it can be dropped, and nothing else.
INVALID = -2
AWAY = ("08", "53", "57P")  # every session would meet these, not only this one
DISK_FULL = "53100"
CONNECT_TIMEOUT_SECONDS = 5.0
# The pool's own pauses between attempts double. Giving up soon lets the next who asks begin anew.
RECONNECT_SECONDS = 2.0


class JobBell(Protocol):
    """Whoever is told, after a commit, that jobs wait."""

    def ring(self, queue: str, job_ids: list[str]) -> bool:
        """Wake a worker; say whether the bell was reached."""


def is_transient(error: psycopg.Error) -> bool:
    """Return whether trying again may succeed: the connection, resources, a lost race, a restart."""
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError)
    if state == "XX000":
        return "tuple concurrently" in str(error)
    return state in TRANSIENT_STATES or state.startswith(TRANSIENT_CLASSES)


def is_plan_invalidated(error: psycopg.Error) -> bool:
    """Return whether what a session had prepared is of no use to it any more; one that begins anew knows of nothing.

    A table got a column while we were serving, or somebody ran DEALLOCATE. Only a session of ours is to be asked
    about: where an owner's SQL runs, it is that SQL's own error.
    """
    changed = error.sqlstate == "0A000" and error.diag.source_function == "RevalidateCachedQuery"
    return changed or error.sqlstate == "26000"


def is_login_refused(error: psycopg.Error) -> bool:
    """Return whether a session could not begin because of its password; the driver has no SQLSTATE for that."""
    said = ("password authentication failed", "SASL authentication failed")  # Postgres, PgBouncer
    return error.sqlstate is None and any(words in str(error) for words in said)


def is_half_dropped(error: psycopg.Error) -> bool:
    """Return whether a session could not begin because an interrupted DROP DATABASE has left nothing to get into."""
    return error.sqlstate in (None, "55000") and "invalid database" in str(error)


def ensure_alive(connection: psycopg.Connection[Any]) -> None:
    """Raise OperationalError for an idle session that the server has ended. Costs no round trip while it is well."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    # Nobody speaks on an idle session but a server that says farewell.
    if poll.poll(0):
        ConnectionPool.check_connection(connection)


def connect(
    conninfo: str,
    application_name: str,
    *,
    autocommit: bool = True,
    dependency: str | None = None,
    bounds: SessionBounds = PLATFORM,
) -> psycopg.Connection[Any]:
    """Open a session as one of the platform's own logins; the server's end of it is noticed.

    dependency  what the error names when the server is away as a whole
    bounds      how long it waits

    Raises Unavailable.
    """
    with translate_errors(dependency):
        return psycopg.connect(
            conninfo,
            autocommit=autocommit,
            application_name=application_name,
            options=bounds.options_beside(conninfo),
            connect_timeout=int(CONNECT_TIMEOUT_SECONDS),
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
        )


def pool_of(
    conninfo: str, application_name: str, *, name: str, max_size: int, idle_seconds: float, bounds: SessionBounds
) -> ConnectionPool[psycopg.Connection[Any]]:
    """Make a pool that is yet to be opened. Its sessions commit each statement, and are looked at before they are lent.

    idle_seconds  after which those that nobody needed are closed, but one
    bounds        how long they wait
    """
    return ConnectionPool(
        conninfo,
        kwargs={
            "autocommit": True,
            "application_name": application_name,
            "connect_timeout": int(CONNECT_TIMEOUT_SECONDS),
            "options": bounds.options_beside(conninfo),
        },
        min_size=1,
        max_size=max_size,
        timeout=CONNECT_TIMEOUT_SECONDS,
        reconnect_timeout=RECONNECT_SECONDS,
        check=ensure_alive,
        max_idle=idle_seconds,
        open=False,
        name=name,
    )


@contextmanager
def renew_sessions_on_failure(pool: ConnectionPool[Any]) -> Iterator[None]:
    """Begin all sessions of a pool anew when one fails of what it had prepared: the others have prepared the same.

    Raises Unavailable then: what was asked may be asked again.
    """
    try:
        yield
    except psycopg.Error as error:
        if not is_plan_invalidated(error):
            raise
        pool.drain()
        raise Unavailable(f"what a session had prepared is of no use any more ({error.sqlstate})") from error


@contextmanager
def translate_errors(dependency: str | None = None) -> Iterator[None]:
    """Turn transient psycopg errors into Unavailable; leave the rest to who knows what they mean.

    dependency  what the errors name when the server is away as a whole
    """
    try:
        yield
    except (PoolTimeout, PoolClosed) as error:
        raise Unavailable("no connection to Postgres was free in time", dependency=dependency) from error
    except psycopg.Error as error:
        if is_login_refused(error):
            raise LoginRefused("Postgres did not take the password") from error
        if is_half_dropped(error):
            raise Refused("the database is half dropped; restore it from a backup") from error
        if is_transient(error):
            raise _unavailable(error, dependency) from error
        raise
    except (MemoryError, RuntimeError) as error:
        if exhaustion.is_shortage(error):
            raise Unavailable(str(error)) from error
        raise


def _unavailable(error: psycopg.Error, dependency: str | None) -> Unavailable:
    if error.sqlstate == LOCK_NOT_AVAILABLE:
        return Unavailable(f"a lock was not to be had in time: another session holds it ({error.sqlstate})")
    away = dependency if (error.sqlstate or "08").startswith(AWAY) else None
    if exhaustion.is_lock_table_full(error):
        return LockTableFull("Postgres has no lock left (53200)", dependency=away)
    said = f"Postgres is unavailable ({error.sqlstate or type(error).__name__})"
    if error.sqlstate == DISK_FULL:
        said = f"the disk of Postgres is full ({DISK_FULL}): free some space; what waits for it goes on by itself"
    return Unavailable(said, dependency=away)


class Transaction:
    """One open transaction: statements in, plain rows out, and the bells to ring once it has committed."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.rings: dict[str, list[str]] = {}

    def execute(self, query: Query, params: Any = None) -> int:
        """Run a statement; return how many rows it touched."""
        return self.connection.execute(query, params).rowcount

    def row(self, query: Query, params: Any = None) -> dict[str, Any] | None:
        """Return the first row as a dict, or None."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, params).fetchone()

    def rows(self, query: Query, params: Any = None) -> list[dict[str, Any]]:
        """Return all rows as dicts."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, params).fetchall()

    def value(self, query: Query, params: Any = None) -> Any:
        """Return the first column of the first row, or None."""
        row = self.connection.execute(query, params).fetchone()
        return None if row is None else row[0]

    def one(self, row_type: type[T], query: Query, params: Any = None) -> T | None:
        """Return the first row as a `row_type`, or None."""
        with self.connection.cursor(row_factory=class_row(row_type)) as cursor:
            return cursor.execute(query, params).fetchone()

    def all(self, row_type: type[T], query: Query, params: Any = None) -> list[T]:
        """Return all rows as `row_type`s."""
        with self.connection.cursor(row_factory=class_row(row_type)) as cursor:
            return cursor.execute(query, params).fetchall()

    def ring(self, queue: str, job_id: str) -> None:
        """Ring for this job once the transaction has committed."""
        self.rings.setdefault(queue, []).append(job_id)


class Database:
    """A pool of connections to one database, opened at once but connecting in the background."""

    def __init__(
        self, conninfo: str, *, name: str = "launchdb", max_size: int = 8, bell: JobBell | None = None
    ) -> None:
        self.conninfo = conninfo
        self.bell = bell
        self._pool = pool_of(conninfo, name, name=name, max_size=max_size, idle_seconds=60.0, bounds=PLATFORM)
        with translate_errors():
            self._pool.open(wait=False)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Commit on leaving, roll back on an exception; ring the bells after the commit.

        Raises Unavailable when Postgres is away, busy or the transaction lost a race.
        """
        with (
            translate_errors(),
            renew_sessions_on_failure(self._pool),
            self._pool.connection() as connection,
            connection.transaction(),
        ):
            tx = Transaction(connection)
            yield tx
        self._ring(tx)

    @contextmanager
    def autocommit(self) -> Iterator[Transaction]:
        """Statements that each commit by themselves: one round trip where a transaction needs three."""
        with translate_errors(), renew_sessions_on_failure(self._pool):
            # Not the pool's own context manager: it also commits, which costs, and here nothing is left to commit.
            connection = self._pool.getconn()
            try:
                tx = Transaction(connection)
                yield tx
            finally:
                self._pool.putconn(connection)
        self._ring(tx)

    def _ring(self, tx: Transaction) -> None:
        if self.bell is None:
            return
        for queue, job_ids in tx.rings.items():
            self.bell.ring(queue, job_ids)

    def notify(self, job_ids: list[str]) -> None:
        """Ring the bell inside Postgres, while Redis is away; the polling workers make up for one that fails."""
        try:
            with translate_errors(), self._pool.connection() as connection:
                connection.execute("SELECT pg_notify('launchdb_jobs', %s)", (job_ids[0],))
        except (Unavailable, psycopg.errors.ProgramLimitExceeded):  # its queue may be full, of others' notifications
            log.info("the bell inside Postgres was not rung")

    def connect(self, *, application_name: str, autocommit: bool = True) -> psycopg.Connection[Any]:
        """Open a direct session of its own (liveness, LISTEN). Raises Unavailable."""
        return connect(self.conninfo, application_name, autocommit=autocommit)

    def check(self) -> None:
        """Raise Unavailable unless Postgres answers."""
        with self.autocommit() as tx:
            tx.execute("SELECT 1")

    def close(self) -> None:
        """Give all connections back."""
        self._pool.close()
