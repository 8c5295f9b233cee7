"""A session as one of a project's logins: bounded in time and bytes, and ended from outside when it has to go.

What runs in it may be a tenant's, which can lift the limits that the server was told, catch the cancellation of its own
statement, and return more than memory holds. So our clock and our count stand beside the server's.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.waiting import Ready, Wait

from infra.errors import InfraError, Refused, Unavailable
from infra.postgres.database import CONNECT_TIMEOUT_SECONDS, translate_errors
from infra.postgres.sql import statements
from infra.received import ReceivedBytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from psycopg.abc import PQGen
    from psycopg.pq.abc import PGconn, PGresult

    from infra.postgres.cluster import Cluster

V = TypeVar("V")
SQL = statements(__file__)
log = logging.getLogger(__name__)
DAY_SECONDS = 24 * 3600.0
# The server's own limit comes first and names the statement; this much later our clock ends what has lifted that one.
GRACE_SECONDS = 0.5
LOOK_SECONDS = 0.25
# What an answer does not keep is read and forgotten, so that its statement comes to its end; but not for ever.
READ_FACTOR = 16
TOO_MANY = ("53300", "53400")
# libpq reads one huge value for as long as there is more to read: with so little it comes up for air.
UNREAD_BYTES = 32 * 1024


class TookTooLong(Unavailable):
    """What ran took longer than it was given and was ended; what it had not committed is rolled back."""


class TooLarge(Refused):
    """More is returned than anybody would read; its session was ended."""


class Crowded(Unavailable):
    """The login has no connection left."""


@dataclass(frozen=True)
class Bounds:
    """What one session may take, and what else the server is told when it begins.

    seconds            from its beginning to its end by our clock, which gives it GRACE_SECONDS more
    statement_seconds  one statement, by the server's clock; 0: no limit of its own, None: what the project has
    lock_seconds       waiting for a lock, by the server's clock; None: what the project has
    idle_seconds       idle within a transaction, by the server's clock; 0: no limit, None: what the project has
    rows               that an answer keeps, where one is kept (see `infra.postgres.owner_sql`)
    size               bytes that an answer keeps; READ_FACTOR times as many may come, None: any number
    settings           more of the server's, by name; a value holds no space
    """

    seconds: float
    statement_seconds: float | None = None
    lock_seconds: float | None = None
    idle_seconds: float | None = None
    rows: int | None = None
    size: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def told(self) -> dict[str, str]:
        """What the server is told when the session begins: it comes before what a tenant has set for the login."""
        most = {
            "statement_timeout": self.statement_seconds,
            "lock_timeout": self.lock_seconds,
            "idle_in_transaction_session_timeout": self.idle_seconds,
        }
        # A limit that rounds down to none would be none.
        known = {name: str(max(1, int(each * 1000)) if each else 0) for name, each in most.items() if each is not None}
        return {**known, **self.settings}


class TenantSession(psycopg.Connection[Any]):
    """A connection that is looked after whenever it waits for the server: cursors, COPY and `results` alike.

    look   called several times a second while something runs; may raise to have the session ended
    guard  what looks after it
    """

    look: Callable[[], None] | None = None
    guard: _Guard | None = None

    @property
    def stopped(self) -> BaseException | None:
        """Why it was ended by us; None when it was not."""
        return None if self.guard is None else self.guard.stopped

    def allow(self, seconds: float) -> None:
        """Give what comes next so many seconds by our clock, whatever has passed."""
        if self.guard is not None:
            self.guard.allow(seconds)

    @contextmanager
    def looking(self, look: Callable[[], None]) -> Iterator[None]:
        """Call `look` while something runs, for the length of this block."""
        before, self.look = self.look, look
        try:
            yield
        finally:
            self.look = before

    def wait(self, gen: PQGen[V], interval: float = LOOK_SECONDS, timeout: float | None = None) -> V:
        """Wait for the server as psycopg does, which all that it does comes through; look after it meanwhile.

        Raises TookTooLong, TooLarge, and what `look` raises: the session is ended by then, for good.
        """
        if self.guard is None:
            return super().wait(gen, interval, timeout)
        pause = max(0.01, min(interval, LOOK_SECONDS, self.guard.deadline - time.monotonic()))
        return super().wait(self._watched(gen, self.guard), pause, timeout)

    def _watched(self, gen: PQGen[V], guard: _Guard) -> PQGen[V]:
        guard.check(self)
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                guard.check(self)
                wanted = gen.send(ready)
        except StopIteration as done:
            # libpq may have read the last of it in one go. Otherwise it is done, and whoever asked has to know.
            guard.count(self)
            value: V = done.value
            return value

    def results(self, query: str, values: Sequence[bytes | None] | None = None) -> Iterator[PGresult]:
        """Run it and give the results as they come, rows one by one; failures are results, too.

        values  of its parameters as text; without them there may be several statements

        Raises psycopg.OperationalError when the session is lost, and what `wait` raises.
        """
        pg = self.pgconn
        if values is None:
            pg.send_query(query.encode())
        else:
            pg.send_query_params(query.encode(), values)
        pg.set_single_row_mode()
        self.wait(_sent(pg))
        while True:
            if pg.is_busy():
                self.wait(_come(pg))
            result = pg.get_result()
            if result is None:
                return
            yield result


@dataclass
class _Guard:
    """What ends a session: our clock, our count, and whoever looks. Once it is ended, whatever is asked says why."""

    cluster: Cluster
    session: str
    login: str
    database: str
    pid: int
    pooled: bool
    bounds: Bounds
    deadline: float
    received: ReceivedBytes | None
    stopped: BaseException | None = None
    look_at: float = field(default_factory=lambda: time.monotonic() + LOOK_SECONDS)

    def allow(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds + GRACE_SECONDS

    def check(self, session: TenantSession) -> None:
        """Raise when it has to end, which it has by then. Called whenever something comes: it costs next to nothing."""
        self.count(session)
        now = time.monotonic()
        if now < self.deadline and now < self.look_at:
            return
        with self._stopping(session):
            if now >= self.deadline:
                raise TookTooLong("it took longer than it was given, and was ended")
            if session.look is not None:
                session.look()
        self.look_at = time.monotonic() + LOOK_SECONDS

    def count(self, session: TenantSession) -> None:
        if self.stopped is not None:
            raise self.stopped
        if self.received is not None and self.received.count() > READ_FACTOR * (self.bounds.size or 0):
            with self._stopping(session):
                raise TooLarge("more is returned than anybody would read; add a LIMIT")

    @contextmanager
    def _stopping(self, session: TenantSession) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self.stopped = error
            self.end(session)
            raise

    def end(self, session: TenantSession) -> None:
        """End the backend from outside: a statement may catch its own cancellation, but not the end of its session."""
        session.close()
        who = {"pid": self.pid, "login": self.login, "database": self.database, "session": self.session}
        try:
            with self.cluster.session(self.session) as admin:
                admin.execute(SQL.end_pooled if self.pooled else SQL.end, who)
        except InfraError:
            # Why it had to go counts more; the server notices by itself that its client has left.
            log.warning("a session of %s could not be ended from outside", self.database)


@contextmanager
def tenant_session(
    cluster: Cluster,
    uri: str,
    session: str,
    bounds: Bounds,
    *,
    look: Callable[[], None] | None = None,
    pooled: bool = False,
) -> Iterator[TenantSession]:
    """Log in as one of a project's logins; each statement commits by itself. Left in the middle of one, it is ended.

    cluster   the server's administrator, who ends it
    session   name that it bears, by which sessions of an older attempt are ended
    look      called several times a second while something runs; may raise to have it ended
    pooled    the pooler stands between: it knows none of the settings, and a backend only by the session's name

    Raises Crowded, LoginRefused, Unavailable; Refused for a database that is half dropped.
    """
    with translate_errors():
        login = _logged_in(uri, session, bounds.told)
        received = None if bounds.size is None else ReceivedBytes(login.pgconn.socket, unread=UNREAD_BYTES)
        guard = _Guard(
            *(cluster, session, login.info.user, login.info.dbname, login.info.backend_pid, pooled, bounds),
            *(time.monotonic() + bounds.seconds + GRACE_SECONDS, received),
        )
        login.look, login.guard = look, guard
        try:
            yield login
        except BaseException as error:
            if guard.stopped is None and login.pgconn.transaction_status == TransactionStatus.ACTIVE:
                guard.end(login)
            if guard.stopped is not None and isinstance(error, psycopg.Error):
                raise guard.stopped from error  # what came of its end is not why it ended
            raise
        finally:
            login.close()
            if received is not None:
                received.close()


def _logged_in(uri: str, session: str, settings: Mapping[str, str]) -> TenantSession:
    told = {"client_connection_check_interval": "1s", **settings}
    try:
        return TenantSession.connect(
            uri,
            autocommit=True,
            application_name=session,
            client_encoding="utf8",
            options=" ".join(f"-c {name}={value}" for name, value in told.items()),
            connect_timeout=int(CONNECT_TIMEOUT_SECONDS),
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            prepare_threshold=None,  # what runs here may run DEALLOCATE
        )
    except psycopg.OperationalError as error:
        if error.sqlstate in TOO_MANY or "too many connections" in str(error):
            raise Crowded("all connections of the project are in use") from error
        raise


def _sent(pg: PGconn) -> PQGen[None]:
    while pg.flush():
        if (yield Wait.RW) & Ready.R:
            pg.consume_input()


def _come(pg: PGconn) -> PQGen[None]:
    while pg.is_busy():
        yield Wait.R
        pg.consume_input()
