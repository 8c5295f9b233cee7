"""A worker as the platform sees it: its row, what it serves, and its liveness session."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg

from infra.errors import Refused, Unavailable
from infra.postgres.sql import statements
from jobs.engine import kind as kinds

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.postgres.database import Database, Transaction

log = logging.getLogger(__name__)
SQL = statements(__file__)

JOBS_CHANNEL = "launchdb_jobs"
RECONNECT_SECONDS = 0.05
LISTEN_SECONDS = 5.0


def worker_name() -> str:
    """Return a name that no other process, not even a later one of the same pid, will have."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


class Liveness:
    """A direct session that holds an advisory lock: the kernel closes it with the process, and the lock is free.

    The same session listens for the bell that is rung inside Postgres while Redis is away.
    """

    def __init__(
        self, database: Database, *, name: str, queues: list[str], threads: int, heard: Callable[[str], None]
    ) -> None:
        self._database = database
        self.name = name
        self._queues = queues
        self._threads = threads
        self._heard = heard
        self._stopped = threading.Event()
        self._session: psycopg.Connection[Any] | None = None
        self.lost_count = 0
        self.back: Callable[[], None] = lambda: None

    @property
    def serves(self) -> list[str]:
        """Every kind@version this process can run."""
        return sorted(kinds.kinds())

    def take(self) -> None:
        """Open the session, register the worker and take its lock.

        Raises Unavailable when Postgres is away, Refused when the connection cannot hold a session lock (a pooler).
        """
        session = self._database.connect(application_name=f"launchdb-worker:{self.name}")
        lock_key = self._register()
        first = session.info.backend_pid
        if not _value(session, SQL.lock, {"lock_key": lock_key}):
            session.close()
            raise Unavailable("the worker's previous session still holds its lock")
        same = _value(session, "SELECT pg_backend_pid()", None) == first
        if not (same and _value(session, SQL.holds_lock, {"lock_key": lock_key})):
            session.close()
            raise Refused("LAUNCHDB_DATABASE_URL leads through a transaction pooler; workers need a direct connection")
        session.execute(f"LISTEN {JOBS_CHANNEL}")
        self._session = session

    def _register(self) -> int:
        with self._database.transaction() as tx:
            for declared in kinds.kinds().values():
                _serve(tx, declared)
            row = {
                "name": self.name,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "queues": self._queues,
                "serves": self.serves,
                "threads": self._threads,
            }
            return int(tx.value(SQL.register, row))

    def run(self) -> None:
        """Keep the session: listen, and take the lock anew as soon as Postgres lets us."""
        while not self._stopped.is_set():
            session = self._session
            try:
                if session is None:
                    self.take()
                    log.info("liveness session taken again")
                    self.back()
                    continue
                for note in session.notifies(timeout=LISTEN_SECONDS, stop_after=1):
                    self._heard(note.payload)
            except (Unavailable, psycopg.Error, OSError):
                if not self._stopped.is_set():  # which closes the session
                    self._lose()

    def _lose(self) -> None:
        if self._session is not None:
            self.lost_count += 1
            log.warning("liveness session lost")
            self._session.close()
            self._session = None
        self._stopped.wait(RECONNECT_SECONDS)

    def stop(self) -> None:
        """Sign off: the row says stopped, the lock is free."""
        self._stopped.set()
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            try:
                with self._database.autocommit() as tx:
                    tx.execute(SQL.stop, {"name": self.name})
                break
            except Unavailable:
                time.sleep(RECONNECT_SECONDS)
        if self._session is not None:
            self._session.close()


def _value(session: psycopg.Connection[Any], query: Any, params: Any) -> Any:
    row = session.execute(query, params).fetchone()
    return None if row is None else row[0]


def _serve(tx: Transaction, declared: kinds.Kind) -> None:
    tx.execute(
        SQL.serve,
        {
            "served": declared.name_and_version,
            "kind": declared.name,
            "version": declared.version,
            "max_running": declared.max_running,
            "conflicts": list(declared.conflicts),
            "steps": [step.name for step in declared.steps],
            "claim_begins": not declared.steps[0].no_return,
            "bursts": declared.bursts,
        },
    )


def claimable(database: Database, queue: str, serves: list[str], most: int) -> list[str]:
    """Return up to `most` jobs that a worker could claim now. Raises Unavailable."""
    with database.autocommit() as tx:
        rows = tx.rows(SQL.claimable, {"queue": queue, "serves": serves, "most": most})
    return [row["id"] for row in rows]
