"""Connections of one instance: opened when needed, kept while warm, counted against one budget for all instances."""

from __future__ import annotations

import contextlib
import functools
import select
import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from app.data.errors import LocksExhausted, PgrstError, disconnected
from app.data.run.pipeline import WORN_BYTES, PipelineConnection
from infra import exhaustion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.data.config import DataConfig

CONNECT_TIMEOUT_SECONDS = 5
# A server that is gone is noticed within seconds, not when the kernel gives up. A URI's own settings come first.
KEEPALIVES = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 15_000}
# Passwords may change again while a connection is being opened; each round begins with what is configured then.
LOGIN_ROUNDS = 4


class Budget:
    """How many connections all instances may hold together."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._changed = threading.Condition()
        self.make_room: Callable[[], bool] = lambda: False

    def take(self, seconds: float) -> bool:
        """Reserve one; idle ones of other instances are let go first. Say whether there was room in time."""
        deadline = time.monotonic() + seconds
        while True:
            with self._changed:
                if self._free > 0:
                    self._free -= 1
                    return True
            if self.make_room():
                continue
            with self._changed:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, 0.1))

    def give_back(self) -> None:
        """Free one."""
        with self._changed:
            self._free += 1
            self._changed.notify()


@dataclass
class PoolCounters:
    """What has been done for an instance since the process began; seconds: of the last read of its catalogue."""

    loads: dict[str, int] = field(default_factory=lambda: {"SUCCESS": 0, "FAIL": 0})
    seconds: float = 0.0
    timeouts: int = 0
    waiting: int = 0


class Pool:
    """The connections of one instance. No thread of its own: it costs nothing while nobody asks."""

    def __init__(self, config: DataConfig, budget: Budget, name: str) -> None:
        self._config, self._budget, self._name = config, budget, name
        self._idle: deque[tuple[float, PipelineConnection]] = deque()
        self._changed = threading.Condition()
        self._open = 0
        self._closed = False
        self.counters = PoolCounters()
        self._age = 0
        self._ages: dict[PipelineConnection, int] = {}
        # Looks whether the configuration has changed, and heeds it.
        self.refresh: Callable[[], object] = lambda: None

    @contextmanager
    def lend(self) -> Iterator[PipelineConnection]:
        """Lend a connection.

        Raises PgrstError: PGRST000 when Postgres is away, PGRST003 when none was free in time; LocksExhausted.
        """
        connection = self._take()
        try:
            yield connection
        finally:
            self._put_back(connection)

    def heed(self, config: DataConfig) -> None:
        """Go on with another configuration. What is lent stays so; a connection begun otherwise is not lent again."""
        with self._changed:
            renewed = _session_of(config) != _session_of(self._config)
            smaller = config.db_pool < self._config.db_pool
            self._age += renewed
            self._config = config
            self._changed.notify_all()
        if renewed or smaller:
            self.trim(float("inf"))

    def renew(self) -> None:
        """Replace every connection: the idle at once, what is lent when it comes back."""
        with self._changed:
            self._age += 1
        self.trim(float("inf"))

    def trim(self, older_than: float) -> bool:
        """Close what has been idle since before that moment; say whether anything was."""
        with self._changed:
            old = [entry for entry in self._idle if entry[0] <= older_than]
            for entry in old:
                self._idle.remove(entry)
        for _, connection in old:
            self._discard(connection)
        return bool(old)

    def close(self) -> None:
        """Release everything; what is lent is closed when it comes back."""
        with self._changed:
            self._closed = True
        self.trim(float("inf"))

    @contextmanager
    def open_beside(self) -> Iterator[PipelineConnection]:
        """Open a connection that is none of the pool's, whatever all of those are doing. Raises psycopg.Error."""
        connection = self._log_in()[1]
        try:
            yield connection
        finally:
            connection.close()

    @property
    def idle(self) -> int:
        """Return how many connections wait for work."""
        return len(self._idle)

    @property
    def is_exhausted(self) -> bool:
        """Return whether who asks now has to wait for a connection."""
        return not self._idle and self._open >= self._config.db_pool

    @property
    def opened(self) -> int:
        """Return how many connections are open."""
        return self._open

    def _take(self) -> PipelineConnection:
        deadline = time.monotonic() + self._config.db_pool_acquisition_timeout
        while True:
            connection = self._reserve(deadline)
            if connection is None:
                return self._connect(deadline)
            if _is_alive(connection):
                return connection
            self._discard(connection)

    def _reserve(self, deadline: float) -> PipelineConnection | None:
        """Return an idle connection, or None when the caller may open one."""
        with self._changed:
            while True:
                if self._idle:
                    return self._idle.pop()[1]
                if self._open < self._config.db_pool:
                    self._open += 1
                    return None
                left = deadline - time.monotonic()
                if left <= 0 or not self._wait(left):
                    raise self._out_of_time()

    def _wait(self, seconds: float) -> bool:
        self.counters.waiting += 1
        try:
            return self._changed.wait(seconds)
        finally:
            self.counters.waiting -= 1

    def _out_of_time(self) -> PgrstError:
        self.counters.timeouts += 1
        return PgrstError("PGRST003", "Timed out acquiring connection from connection pool.")

    def _connect(self, deadline: float) -> PipelineConnection:
        if not self._budget.take(max(deadline - time.monotonic(), 0)):
            self._forget()
            raise self._out_of_time()
        try:
            age, connection = self._log_in()
        except BaseException as error:
            self._budget.give_back()
            self._forget()
            if not isinstance(error, psycopg.Error | UnicodeError | ValueError):
                raise
            # The driver's own message names hosts, users and files, which are no business of the client's.
            fault = disconnected()
            raise LocksExhausted(fault) if exhaustion.is_lock_table_full(error) else fault from None
        with self._changed:
            self._ages[connection] = age
        return connection

    def _log_in(self) -> tuple[int, PipelineConnection]:
        """Open a connection; while its password is changed one of two is right, and may become wrong meanwhile."""
        for _ in range(LOGIN_ROUNDS):
            with self._changed:
                age, config = self._age, self._config
            try:
                return age, self._opened_with(config)
            except psycopg.OperationalError as error:
                refused = error
            self.refresh()
            with self._changed:
                if _passwords_of(self._config) == _passwords_of(config):
                    break
        raise refused

    def _opened_with(self, config: DataConfig) -> PipelineConnection:
        """Try the new password, the one before it, and the new one again: it may have been set between the two."""
        if not config.launchdb_db_uri_before:
            return self._opened_by(config.db_uri, config)
        for uri in (config.db_uri, config.launchdb_db_uri_before):
            with contextlib.suppress(psycopg.OperationalError):
                return self._opened_by(uri, config)
        return self._opened_by(config.db_uri, config)

    def _opened_by(self, uri: str, config: DataConfig) -> PipelineConnection:
        given = conninfo_to_dict(uri)
        connection = PipelineConnection.connect(
            make_conninfo(uri, **{name: value for name, value in KEEPALIVES.items() if name not in given}),
            autocommit=True,
            fallback_application_name=self._name,
            client_encoding="utf8",
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            prepare_threshold=None,
        )
        if not config.db_prepared_statements:
            connection.book = None
        # A body that is too large fails in Postgres; this is for what else it may have to say.
        connection.answer_bytes_max = config.launchdb_answer_bytes_max and config.launchdb_answer_bytes_max + WORN_BYTES
        return connection

    def _put_back(self, connection: PipelineConnection) -> None:
        usable = connection.is_clean and not connection.is_worn
        with self._changed:
            fits = self._ages.get(connection) == self._age and self._open <= self._config.db_pool
            if usable and fits and not self._closed:
                self._idle.append((time.monotonic(), connection))
                self._changed.notify()
                return
        self._discard(connection)

    def _discard(self, connection: PipelineConnection) -> None:
        connection.close()
        with self._changed:
            self._ages.pop(connection, None)
        self._budget.give_back()
        self._forget()

    def _forget(self) -> None:
        with self._changed:
            self._open -= 1
            self._changed.notify()


def _session_of(config: DataConfig) -> tuple[str, str, bool]:
    """Return what a connection is given when it begins and keeps to its end."""
    return config.db_uri, config.launchdb_session, config.db_prepared_statements


def _passwords_of(config: DataConfig) -> tuple[str, str]:
    return config.db_uri, config.launchdb_db_uri_before


def _is_alive(connection: PipelineConnection) -> bool:
    # A healthy idle connection has nothing to say; one that can be read was closed by the server.
    if connection.closed:
        return False
    watch = select.poll()
    watch.register(connection.pgconn.socket, select.POLLIN)
    return not watch.poll(0)


@functools.lru_cache(maxsize=1024)
def login_role(db_uri: str) -> str | None:
    """Return the role that a URI logs in as, or None when it names none."""
    try:
        user = conninfo_to_dict(db_uri).get("user")
    except psycopg.Error:
        return None
    return None if user is None else str(user)
