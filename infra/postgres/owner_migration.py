"""An owner's migration, logged in as the owner: what it may not do, the server itself refuses."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
from psycopg import pq

from infra.errors import Refused, Unavailable
from infra.postgres.database import is_transient
from infra.postgres.split import SqlStatement, split_statements
from infra.postgres.sql import statements
from infra.postgres.supabase_sql.alternatives import alternative_to
from infra.postgres.supabase_sql.rewrites import rewrite
from infra.postgres.tenant_session import Bounds, TookTooLong, tenant_session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.postgres.cluster import Cluster, Session
    from infra.postgres.supabase_sql.rewrites import RewrittenSql
    from infra.postgres.tenant_session import TenantSession

SQL = statements(__file__)
# What is read of the records, in bytes: the table is the owner's, and may be a view of anything by now.
RECORDS_SIZE = 4_000_000
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

    @property
    def seconds(self) -> float:
        """How long it may take."""
        return self.timeout_ms / 1000


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
            owner.allow(script.seconds)
            _run(owner, SqlStatement(script.text, 0), script, watcher)
            if owner.info.transaction_status != pq.TransactionStatus.INTRANS or began_as != str(
                _value(owner, SQL.transaction)
            ):
                raise TransactionEnded("the migration ended the transaction that it ran in; what came before stays")
            owner.allow(script.seconds)
            # Whoever is stopped here asks the server what became of the transaction.
            with owner.looking(watcher.look):
                _record(owner, script)
                _commit(owner)

    def apply_without_transaction(self, script: MigrationScript, watcher: MigrationWatcher) -> None:
        """Run a migration statement by statement, each by itself, and write its record afterwards.

        Raises MigrationFailed, which names the statement that was refused, and Unavailable when the session was lost.
        """
        parts = split_statements(script.text)
        with self._logged_in(script.timeout_ms) as owner:
            _refuse_recorded(owner, script)
            watcher.begun(None)
            owner.allow(script.seconds)
            for number, part in enumerate(parts, 1):
                try:
                    _run(owner, part, script, watcher)
                except MigrationFailed as error:
                    error.facts["statement"] = number
                    raise
            owner.allow(script.seconds)
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
            with self._logged_in(timeout_ms, size=RECORDS_SIZE, search_path="pg_catalog") as owner:
                if not _value(owner, SQL.has_records):
                    return {}
                return {str(version): str(checksum) for version, checksum in owner.execute(SQL.records).fetchall()}
        except psycopg.Error as error:
            raise Refused(f"the records of migrations cannot be read ({error.sqlstate})") from None

    @contextmanager
    def _logged_in(self, timeout_ms: int, *, size: int | None = None, **more: str) -> Iterator[TenantSession]:
        seconds = timeout_ms / 1000
        settings = {
            "client_min_messages": "notice",
            "standard_conforming_strings": "on",
            "default_transaction_read_only": "off",
            **more,
        }
        bounds = Bounds(seconds, statement_seconds=seconds, idle_seconds=60, size=size, settings=settings)
        with tenant_session(self._cluster, self._uri, self._session, bounds) as owner:
            yield owner


def _run(owner: TenantSession, part: SqlStatement, script: MigrationScript, watcher: MigrationWatcher) -> None:
    """Throw the rows away as they come, for no memory holds them all; raise what was refused."""
    refused: psycopg.Error | None = None
    rewritten = rewrite(part.text, owner.info.dbname)
    with _in_time(script.timeout_ms), _heard(owner, watcher):
        for result in owner.results(rewritten.text):
            if result.status in COPIES:
                raise MigrationFailed("COPY has no client here to copy from or to", sqlstate="0A000")
            refused = refused or _taken(result, watcher)
    if refused is not None:
        raise _failure(refused, part, script.text, rewritten)


@contextmanager
def _in_time(timeout_ms: int) -> Iterator[None]:
    try:
        yield
    except TookTooLong:
        raise MigrationFailed(f"the migration took longer than {timeout_ms} ms", sqlstate="57014") from None


@contextmanager
def _heard(owner: TenantSession, watcher: MigrationWatcher) -> Iterator[None]:
    def notice(diagnostic: psycopg.errors.Diagnostic) -> None:
        watcher.told(f"{diagnostic.severity_nonlocalized}: {diagnostic.message_primary}")

    owner.add_notice_handler(notice)
    try:
        with owner.looking(watcher.look):
            yield
    finally:
        owner.remove_notice_handler(notice)


def _taken(result: pq.abc.PGresult, watcher: MigrationWatcher) -> psycopg.Error | None:
    if result.status == pq.ExecStatus.FATAL_ERROR:
        return psycopg.errors.error_from_result(result, encoding="utf-8")
    if result.status != pq.ExecStatus.SINGLE_TUPLE and result.command_status:
        watcher.told(result.command_status.decode())
    return None


def _failure(error: psycopg.Error, part: SqlStatement, text: str, rewritten: RewrittenSql | None = None) -> Exception:
    if is_transient(error):
        return Unavailable(f"the session that migrates was lost or in somebody's way ({error.sqlstate})")
    message = (error.diag.message_primary or str(error))[:LONGEST_DETAIL]
    told = error.diag.statement_position
    position = int(told) if told else None
    if rewritten is not None:
        position = rewritten.position(position)
    place = part.offset + position if position else None
    where = f", at character {place}" if place else ""
    return MigrationFailed(
        f"Postgres refused the migration: {message} ({error.sqlstate}{where})",
        sqlstate=error.sqlstate,
        position=place,
        line=text.count("\n", 0, place - 1) + 1 if place else None,
        hint=alternative_to(message) or (error.diag.message_hint or "")[:LONGEST_DETAIL] or None,
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
