"""An owner's migration, logged in as the owner: what it may not do, the server itself refuses."""

from __future__ import annotations

import select
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
from psycopg import pq

from infra.errors import Refused, Unavailable
from infra.postgres.database import CONNECT_TIMEOUT_SECONDS, is_transient, translate_errors
from infra.postgres.split import SqlStatement, split_statements
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from infra.postgres.cluster import Cluster, Session

SQL = statements(__file__)
LOOK_SECONDS = 0.25
# The server's own limit comes first and names the statement; ours ends what has lifted that one.
GRACE_SECONDS = 0.75
LONGEST_DETAIL = 2000
COPIES = frozenset({pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH})


class MigrationFailed(Refused):
    """The server refused a statement. facts: sqlstate, position in characters from 1, line, statement."""

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.facts = {name: value for name, value in facts.items() if value is not None}


class TransactionEnded(MigrationFailed):
    """The migration has ended the transaction that it ran in: what came before stays."""


class MigrationWatcher(Protocol):
    """Whoever has a migration applied."""

    def begun(self, transaction: str | None) -> None:
        """Keep the transaction that it runs in, before anything of it runs."""

    def told(self, line: str) -> None:
        """Hear a notice, or what a statement did; must not take long."""

    def look(self) -> None:
        """Called while it runs; may raise to have it ended."""


@dataclass(frozen=True)
class MigrationScript:
    """A migration as it is to be applied; `overwrite`: although the database has a record of that version."""

    version: str
    name: str
    text: str
    timeout_ms: int
    overwrite: bool = False


class OwnerSession:
    """Sessions of a project's owner. `session` names the run: those of an older attempt are ended by that name."""

    def __init__(self, cluster: Cluster, uri: str, session: str) -> None:
        self._cluster = cluster
        self._uri = uri
        self._session = session

    def apply(self, script: MigrationScript, watcher: MigrationWatcher) -> None:
        """Run a migration and write its record, in one transaction.

        Raises MigrationFailed when the server refuses it, Unavailable when it may be tried again.
        """
        with self._logged_in(script.timeout_ms) as owner:
            _refuse_recorded(owner, script)
            owner.execute("BEGIN")
            began_as = str(_value(owner, SQL.transaction))
            watcher.begun(began_as)
            self._run(owner, SqlStatement(script.text, 0), script, watcher)
            if owner.info.transaction_status != pq.TransactionStatus.INTRANS or began_as != str(
                _value(owner, SQL.transaction)
            ):
                raise TransactionEnded("the migration ended the transaction that it ran in; what came before stays")
            _record(owner, script)
            _commit(owner)

    def apply_without_transaction(self, script: MigrationScript, watcher: MigrationWatcher) -> None:
        """Run a migration statement by statement, each by itself, and write its record afterwards.

        Raises MigrationFailed, which names the statement that was refused, and Unavailable when the session was lost.
        """
        parts = split_statements(script.text)
        deadline = time.monotonic() + script.timeout_ms / 1000
        with self._logged_in(script.timeout_ms) as owner:
            _refuse_recorded(owner, script)
            watcher.begun(None)
            for number, part in enumerate(parts, 1):
                try:
                    self._run(owner, part, script, watcher, deadline=deadline)
                except MigrationFailed as error:
                    error.facts["statement"] = number
                    raise
            with owner.transaction():
                _record(owner, script)

    def transaction_outcome(self, transaction: str) -> str | None:
        """Return whether a transaction is committed, aborted, in progress; None when the server has forgotten it."""
        with self._cluster.session(self._session) as admin:
            state = _value(admin, SQL.became, {"transaction": transaction})
        return None if state is None else str(state)

    def recorded_checksums(self, *, timeout_ms: int) -> dict[str, str]:
        """Return the checksums of the records in the project's database, by version. Raises Refused, Unavailable."""
        try:
            with self._logged_in(timeout_ms, "-c search_path=pg_catalog") as owner:
                if not _value(owner, SQL.has_records):
                    return {}
                return {str(version): str(checksum) for version, checksum in owner.execute(SQL.records).fetchall()}
        except psycopg.Error as error:
            raise Refused(f"the records of migrations cannot be read ({error.sqlstate})") from None

    def _run(
        self,
        owner: Session,
        part: SqlStatement,
        script: MigrationScript,
        watcher: MigrationWatcher,
        *,
        deadline: float | None = None,
    ) -> None:
        until = (deadline or time.monotonic() + script.timeout_ms / 1000) + GRACE_SECONDS
        try:
            with _heard(owner, watcher):
                error = _drive(owner, part.text, watcher, lambda: _heed(until, script))
        except BaseException:
            self._end(owner)
            raise
        if error is not None:
            raise _failure(error, part, script.text)

    def _end(self, owner: Session) -> None:
        """End the session from outside: a statement may swallow that it is cancelled."""
        pid = owner.info.backend_pid if not owner.closed else 0
        owner.close()
        with self._cluster.session(self._session) as admin:
            admin.execute(SQL.end, {"pid": pid, "session": self._session})

    @contextmanager
    def _logged_in(self, timeout_ms: int, more: str = "") -> Iterator[Session]:
        options = (
            f"-c statement_timeout={timeout_ms} -c client_min_messages=notice -c standard_conforming_strings=on"
            " -c default_transaction_read_only=off -c client_connection_check_interval=1s"
            f" -c idle_in_transaction_session_timeout=60s {more}"
        )
        with (
            translate_errors(),
            psycopg.connect(
                self._uri,
                autocommit=True,
                application_name=self._session,
                options=options,
                connect_timeout=int(CONNECT_TIMEOUT_SECONDS),
                prepare_threshold=None,  # what runs here may run DEALLOCATE
            ) as owner,
        ):
            yield owner


@contextmanager
def _heard(owner: Session, watcher: MigrationWatcher) -> Iterator[None]:
    def notice(diagnostic: psycopg.errors.Diagnostic) -> None:
        watcher.told(f"{diagnostic.severity_nonlocalized}: {diagnostic.message_primary}")

    owner.add_notice_handler(notice)
    try:
        yield
    finally:
        owner.remove_notice_handler(notice)


def _heed(until: float, script: MigrationScript) -> None:
    if time.monotonic() > until:
        raise MigrationFailed(f"the migration took longer than {script.timeout_ms} ms", sqlstate="57014")


def _drive(owner: Session, text: str, watcher: MigrationWatcher, heed: Callable[[], None]) -> psycopg.Error | None:
    """Send the text and throw its rows away as they come, for no memory holds them all; return what was refused.

    Waits on the socket, not inside the library, whose waiting would hold up every thread of the process.
    """
    owner.pgconn.send_query(text.encode())
    owner.pgconn.set_single_row_mode()
    refused: psycopg.Error | None = None
    looked = time.monotonic()
    while True:
        _await(owner)
        while not owner.pgconn.is_busy():
            result = owner.pgconn.get_result()
            if result is None:
                return refused
            if result.status in COPIES:
                raise MigrationFailed("COPY has no client here to copy from or to", sqlstate="0A000")
            refused = refused or _taken(result, watcher)
            if time.monotonic() - looked > LOOK_SECONDS:
                break
        if time.monotonic() - looked > LOOK_SECONDS:
            watcher.look()
            heed()
            looked = time.monotonic()


def _await(owner: Session) -> None:
    """Wait a while for the server; send what is still to be sent."""
    if not owner.pgconn.is_busy():
        return
    unsent = owner.pgconn.flush()
    poll = select.poll()
    poll.register(owner.pgconn.socket, select.POLLIN | (select.POLLOUT if unsent else 0))
    if any(event & ~select.POLLOUT for _, event in poll.poll(LOOK_SECONDS * 1000)):
        owner.pgconn.consume_input()


def _taken(result: pq.abc.PGresult, watcher: MigrationWatcher) -> psycopg.Error | None:
    if result.status == pq.ExecStatus.FATAL_ERROR:
        return psycopg.errors.error_from_result(result, encoding="utf-8")
    if result.status != pq.ExecStatus.SINGLE_TUPLE and result.command_status:
        watcher.told(result.command_status.decode())
    return None


def _failure(error: psycopg.Error, part: SqlStatement, text: str) -> Exception:
    if is_transient(error):
        return Unavailable(f"the session that migrates was lost or in somebody's way ({error.sqlstate})")
    message = (error.diag.message_primary or str(error))[:LONGEST_DETAIL]
    position = error.diag.statement_position
    place = part.offset + int(position) if position else None
    where = f", at character {place}" if place else ""
    return MigrationFailed(
        f"Postgres refused the migration: {message} ({error.sqlstate}{where})",
        sqlstate=error.sqlstate,
        position=place,
        line=text.count("\n", 0, place - 1) + 1 if place else None,
        hint=(error.diag.message_hint or "")[:LONGEST_DETAIL] or None,
    )


def _refuse_recorded(owner: Session, script: MigrationScript) -> None:
    known = _value(owner, SQL.has_records) and _value(owner, SQL.is_recorded, {"version": script.version})
    if known and not script.overwrite:
        raise MigrationFailed(f"the database has a record of version {script.version} already, and not by us")


def _record(owner: Session, script: MigrationScript) -> None:
    values = {"version": script.version, "name": script.name, "statements": [script.text]}
    try:
        for statement in (SQL.make_schema, SQL.make_table):
            owner.execute(statement)
        owner.execute(SQL.record, values)
    except psycopg.Error as error:
        raise _failure(error, SqlStatement("", 0), "") from None


def _commit(owner: Session) -> None:
    try:
        owner.execute("COMMIT")
    except psycopg.Error as error:  # a deferred constraint, or a trigger that waits for the end
        raise _failure(error, SqlStatement("", 0), "") from None


def _value(session: Session, query: Any, values: Any = None) -> Any:
    row = session.execute(query, values).fetchone()
    return None if row is None else row[0]
