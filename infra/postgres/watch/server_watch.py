"""The one session of the watchdog: opened once, kept open, and never lent to anybody."""

from __future__ import annotations

import json
import logging
import re
import time
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from infra.errors import Unavailable
from infra.postgres.cluster import DEPENDENCY, MAINTENANCE
from infra.postgres.database import connect, translate_errors
from infra.postgres.sql import statements
from infra.postgres.watch.notify_queue import databases_in
from infra.postgres.watch.processes import ProcessFacts, process_facts
from infra.postgres.watch.snapshot import AUTOVACUUM, CLIENT, Backend, Snapshot, WatchedDatabase

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from infra.postgres.watch.judge import Verdict

log = logging.getLogger(__name__)
SQL = statements(__file__)
SESSION = "launchdb-watchdog"
# Neither waits for anybody: what a look needs is there or it is not.
OPTIONS = (
    "-c search_path=pg_catalog -c statement_timeout=5000 -c lock_timeout=1000 -c client_min_messages=error"
    " -c idle_session_timeout=0 -c jit=off"
)
# Who is whose changes only when projects come and go, or when somebody is seen who is not known yet.
NAMES_SECONDS = 30.0
# What a database's own catalogue grows by is no growth.
GROWTH_BYTES = 1024 * 1024
# How often locks are counted between two looks.
TURN_SECONDS, TURNS_AT_A_TIME = 0.02, 50
_SECONDS = re.compile(r"(statement_timeout|idle_in_transaction_session_timeout)=(\d+)s")


class ServerWatch:
    """Looks at the server, and ends what it is told to. One thread's."""

    def __init__(self, conninfo: str, *, clock: Any = time.monotonic) -> None:
        self._conninfo = make_conninfo(conninfo, dbname=MAINTENANCE, options=OPTIONS)
        self._clock = clock
        self._session: psycopg.Connection[Any] | None = None
        self._reserved = False
        self._named_at = float("-inf")
        self._databases: dict[int, WatchedDatabase] = {}
        self._logins: dict[int, str] = {}
        # Roles that no project's owner logs in as: ours.
        self._others: set[int] = set()
        self._bytes: dict[int, int] = {}
        self._sizes: Mapping[str, int] = {}

    def look(self, owners: Mapping[str, str], *, queue: float = 1.0) -> Snapshot:
        """Look once. Raises Unavailable when the server is away, or has no lock left for us either.

        owners  who owns each project
        queue   how full NOTIFY's queue has to be for it to matter who fills it
        """
        with self._guarded():
            rows = self._rows(SQL.look)
            roles = {row["role"] for row in rows} - {0}
            if roles - self._logins.keys() - self._others or self._clock() - self._named_at > NAMES_SECONDS:
                self._read_names()
                self._others |= roles - self._logins.keys()
            processes = self._processes([row["pid"] for row in rows if row["role"] in self._logins])
            used = float(self._rows(SQL.queue)[0]["pg_notification_queue_usage"])
            return Snapshot(
                backends=tuple(self._backends(rows, processes)),
                databases=self._databases,
                owners=owners,
                growing=self._growing(),
                queue=used,
                fillers=self._fillers() if used > queue else frozenset(),
                **self._sizes,
            )

    def wait(self, seconds: float, share: float) -> tuple[bool, list[Backend]]:
        """Wait so long, or until more than this share of the lock table is taken; return whether it was the latter.

        Of all that is finite this is used up before the next look comes, so a login of a project's that alone holds
        more than the share is ended by the server itself, and returned. Raises Unavailable.
        """
        turns = max(1, round(seconds / TURN_SECONDS))
        with self._guarded():
            if self._clock() - self._named_at > NAMES_SECONDS:
                self._read_names()
            values = {"most": int(self._sizes["locks"] * share), "logins": list(self._logins)}
            # A part at a time: the session's own time-out is short.
            for done in range(0, turns, TURNS_AT_A_TIME):
                rows = self._rows(SQL.wait, {**values, "turns": min(TURNS_AT_A_TIME, turns - done)})
                if rows[0]["short"]:
                    return True, [self._ended(row) for row in rows if row["ended"]]
        return False, []

    def _ended(self, row: Mapping[str, Any]) -> Backend:
        login = self._logins[row["role"]]
        known = {name: row[name] for name in ("pid", "started", "database", "role", "locks")}
        return Backend(type=CLIENT, login=login, project=login.rpartition("_")[0], **known)

    def end(self, verdict: Verdict) -> bool:
        """Cancel or end a session; return whether it was still there. Raises Unavailable."""
        backend = verdict.backend
        who = {
            "pid": backend.pid,
            "started": backend.started,
            "role": backend.role,
            "database": backend.database,
        }
        with self._guarded():
            found = self._rows(SQL.cancel if verdict.gently else SQL.terminate, who)
        return any(value for row in found for value in row.values())

    def shut_out(self, backend: Backend) -> None:
        """Refuse a login new sessions until its limits are set anew, and end those that it has.

        Raises Unavailable, LockTableFull while there is no lock left.
        """
        with self._guarded():
            if self._session is not None:
                self._session.execute(SQL.shut_out.format(login=sql.Identifier(backend.login)))
            self._rows(SQL.end_login, {"role": backend.role})

    def set_priorities(self, wanted: list[tuple[Backend, int]]) -> None:
        """Set how far sessions step back behind others; who has ended since is left out. Raises Unavailable."""
        told = [{"pid": each.pid, "started": each.started.isoformat(), "nice": nice} for each, nice in wanted]
        with self._guarded():
            if self._session is not None:
                self._session.execute(SQL.set_priorities.format(wanted=sql.Literal(json.dumps(told))))

    def close(self) -> None:
        """Give the session back."""
        if self._session is not None:
            self._session.close()
        self._session, self._reserved = None, False

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Have a session, and begin with another one next time when this one is of no use."""
        try:
            with translate_errors(DEPENDENCY):
                if self._session is None or self._session.closed or self._session.broken:
                    self._open()
                self._keep_reserve()
                yield
        except (Unavailable, psycopg.Error):
            if self._session is not None and (self._session.closed or self._session.broken):
                self.close()
            raise

    def _open(self) -> None:
        self._reserved = False
        self._session = connect(self._conninfo, SESSION, dependency=DEPENDENCY)
        found = self._rows(SQL.settings)[0]
        self._sizes = {
            "locks": found["locks"] * found["backends"],
            "predicates": found["predicates"] * found["backends"],
            "connections": found["connections"],
            "workers": found["workers"],
        }
        self._read_names()

    def _keep_reserve(self) -> None:
        """Hold some entries of the lock table, so that there are some when a tenant has taken all others."""
        if not self._reserved and self._session is not None:
            try:
                self._session.execute(SQL.reserve, prepare=True)
                self._reserved = True
            except psycopg.errors.OutOfMemory:
                self._session.execute(SQL.give_back, prepare=True)

    def _rows(self, query: Any, values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return all rows; when the lock table is full, of a second try with what was kept in reserve."""
        if self._session is None:
            raise Unavailable("the watchdog has no session", dependency=DEPENDENCY)
        with self._session.cursor(row_factory=dict_row) as cursor:
            try:
                return cursor.execute(query, values, prepare=True).fetchall()
            except psycopg.errors.OutOfMemory:
                cursor.execute(SQL.give_back, prepare=True)
                self._reserved = False
                return cursor.execute(query, values, prepare=True).fetchall()

    def _read_names(self) -> None:
        """Learn who is whose. What was known stays while that cannot be read."""
        try:
            databases, logins = self._rows(SQL.databases), self._rows(SQL.logins)
        except psycopg.errors.OutOfMemory:
            log.warning("the lock table is full: who has logged in since is not known")
            return
        self._databases = {row["oid"]: _database(row["name"], row["settings"] or ()) for row in databases}
        self._logins = {row["oid"]: row["name"] for row in logins}
        self._others -= self._logins.keys()
        self._named_at = self._clock()

    def _backends(self, rows: Iterable[Mapping[str, Any]], processes: Mapping[int, ProcessFacts]) -> Iterator[Backend]:
        """Give the sessions of projects' logins, wherever they are, and the server's workers in their databases."""
        for row in rows:
            login, database = self._logins.get(row["role"], ""), self._databases.get(row["database"])
            if row["type"] == CLIENT and login:
                facts = asdict(processes.get(row["pid"], ProcessFacts()))
                yield Backend(**row, **facts, login=login, project=login.rpartition("_")[0])
            elif row["type"] == AUTOVACUUM and database is not None:
                yield Backend(**row, login="", project=database.project)

    def _processes(self, pids: list[int]) -> dict[int, ProcessFacts]:
        """Return what the kernel says of sessions; nothing where the server cannot see its own processes."""
        try:
            rows = self._rows(SQL.processes, {"pids": pids})
        except (psycopg.errors.SystemError, psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedFile):
            return {}  # one has ended just while it was read; the next look comes soon
        return {row["pid"]: process_facts(row["status"], row["stat"], row["autogroup"]) for row in rows}

    def _growing(self) -> frozenset[int]:
        """Measure the databases that are to be read only; return those that have grown all the same."""
        oids = [oid for oid, database in self._databases.items() if database.read_only]
        before, self._bytes = self._bytes, {}
        if oids:
            self._bytes = {row["oid"]: row["bytes"] or 0 for row in self._rows(SQL.sizes, {"oids": oids})}
        return frozenset(oid for oid, now in self._bytes.items() if now > before.get(oid, now) + GROWTH_BYTES)

    def _fillers(self) -> frozenset[int]:
        name = self._rows(SQL.segments)[0]["max"]
        found = self._rows(SQL.segment, {"name": name}) if name else []
        return databases_in(bytes(found[0]["pg_read_binary_file"] or b"")) if found else frozenset()


def _database(name: str, settings: Iterable[str]) -> WatchedDatabase:
    """Return a database with the time-outs that `infra.postgres.limits` has set on it."""
    known = list(settings)
    told = {found[1]: float(found[2]) for each in known if (found := _SECONDS.fullmatch(each))}
    return WatchedDatabase(
        name,
        told.get("statement_timeout"),
        told.get("idle_in_transaction_session_timeout"),
        read_only="default_transaction_read_only=on" in known,
    )
