"""A tenant's own SQL, logged in as its owner: bounded in time, rows and bytes, whatever the SQL does."""

from __future__ import annotations

import json
import math
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import DiagnosticField, ExecStatus

from infra.errors import InfraError
from infra.postgres.bounded_query import BoundedQuery, SqlRefused, SqlTooLarge, SqlTooLong
from infra.postgres.database import CONNECT_TIMEOUT_SECONDS, translate_errors
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg.pq.abc import PGresult

    from infra.postgres.cluster import Cluster, Session

SQL = statements(__file__)
NAME = "launchdb-sql"
# The server's own time-out comes first; this much later the clock of ours ends a session that has lifted it.
GRACE_SECONDS = 0.5
# What an answer does not keep is read and forgotten, so that its statement comes to its end; but not for ever.
READ_FACTOR = 16
MOST_NOTICES, LONGEST_NOTICE = 100, 2000
BOOL, JSON, INTEGERS, FLOATS = 16, (114, 3802), (20, 21, 23, 26), (700, 701)
CANCELLED, TOO_MANY, COPY = "57014", ("53300", "53400"), "0A000"
_COPIES = (ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH)


class NoConnectionLeft(InfraError):
    """The project has no connection left for it."""


@dataclass(frozen=True)
class QueryBounds:
    """seconds the whole may take, rows and bytes that an answer keeps."""

    seconds: float
    rows: int
    size: int


@dataclass
class QueryResult:
    """What came of it: the last set of rows, the last command's tag and count, and what the server had to say."""

    columns: list[tuple[str, str]] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)
    count: int = 0
    command: str = ""
    truncated: bool = False
    notices: list[dict[str, str]] = field(default_factory=list)


class OwnerSql:
    """One project's owner login. Its sessions end with each question, so nothing is left set or open."""

    def __init__(self, cluster: Cluster, uri: str, login: str) -> None:
        self._cluster = cluster
        self._uri = uri
        self._login = login

    def run(self, query: str, params: list[Any] | None, bounds: QueryBounds, *, read_only: bool) -> QueryResult:
        """Run `query`: one statement when it has parameters ($1, …), any number in one transaction otherwise.

        Raises SqlRefused, SqlTooLong, SqlTooLarge, NoConnectionLeft; Unavailable.
        """
        deadline = time.monotonic() + bounds.seconds + GRACE_SECONDS
        with self._logged_in(bounds, read_only=read_only) as session:
            wire = BoundedQuery(session, deadline, bounds.size * READ_FACTOR)
            found = QueryResult()
            session.add_notice_handler(lambda notice: _keep_notice(found, notice))
            try:
                _collect(wire, found, query, params, bounds)
            except (SqlTooLong, SqlTooLarge):
                # A statement may catch its own cancellation; the end of its session it cannot.
                self._end(session.pgconn.backend_pid)
                raise
            finally:
                wire.close()
        return found

    def _end(self, pid: int) -> None:
        with self._cluster.session(NAME) as admin:
            admin.execute(SQL.end, {"pid": pid, "login": self._login})

    @contextmanager
    def _logged_in(self, bounds: QueryBounds, *, read_only: bool) -> Iterator[Session]:
        options = f"-c statement_timeout={max(1, int(bounds.seconds * 1000))}"
        options += " -c default_transaction_read_only=on" if read_only else ""
        try:
            session = psycopg.connect(
                self._uri,
                autocommit=True,
                application_name=NAME,
                options=options,
                client_encoding="utf8",
                connect_timeout=int(CONNECT_TIMEOUT_SECONDS),
            )
        except psycopg.OperationalError as error:
            if error.sqlstate in TOO_MANY or "too many connections" in str(error):
                raise NoConnectionLeft("all connections of the project are in use") from error
            with translate_errors():
                raise
        try:
            yield session
        finally:
            session.close()


def _collect(wire: BoundedQuery, found: QueryResult, query: str, params: list[Any] | None, bounds: QueryBounds) -> None:
    types: list[int] = []
    kept, fresh = 0, True
    for result in wire.send(query, params):
        _refuse(result)
        if fresh and result.status in (ExecStatus.SINGLE_TUPLE, ExecStatus.TUPLES_OK):
            types = [result.ftype(place) for place in range(result.nfields)]
            found.columns = [(_text(result.fname(place) or b""), "") for place in range(result.nfields)]
            found.rows, found.truncated, kept = [], False, 0
        if result.status == ExecStatus.SINGLE_TUPLE:
            fresh = False
            raw = [result.get_value(0, place) for place in range(result.nfields)]
            kept += sum(len(value or b"") for value in raw)
            found.truncated = found.truncated or len(found.rows) == bounds.rows or kept > bounds.size
            if not found.truncated:
                found.rows.append([_value(value, kind) for value, kind in zip(raw, types, strict=True)])
            continue
        fresh = True
        found.command = _text(result.command_status or b"")
        found.count = result.command_tuples or 0
    if not wire.is_settled():
        found.notices.append({"severity": "WARNING", "message": "the transaction was left open and is rolled back"})
        list(wire.send("ROLLBACK", None))
    try:
        names = _type_names(wire, types) if types else []
    except (SqlRefused, SqlTooLong):
        # The tenant's statements are done, and a name is not worth saying that they are not.
        names = ["unknown"] * len(types)
    found.columns = [(name, kind) for (name, _), kind in zip(found.columns, names, strict=True)]


def _type_names(wire: BoundedQuery, types: list[int]) -> list[str]:
    known = {}
    for result in wire.send(SQL.type_names.as_string(), ["{" + ",".join(map(str, types)) + "}"]):
        _refuse(result)
        if result.status == ExecStatus.SINGLE_TUPLE:
            known[int(result.get_value(0, 0) or 0)] = _text(result.get_value(0, 1) or b"")
    return [known.get(oid, "unknown") for oid in types]


def _refuse(result: PGresult) -> None:
    if result.status in _COPIES:
        raise SqlRefused(COPY, "COPY to or from the client does not work here; use psql")
    if result.status not in (ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE):
        return
    told = {name: _text(result.error_field(code) or b"") for name, code in _FIELDS.items()}
    if told["sqlstate"] == CANCELLED:
        raise SqlTooLong(told["message"])
    position = int(told["position"]) if told["position"].isdecimal() else None
    message = told["message"] + (f" ({told['detail']})" if told["detail"] else "")
    raise SqlRefused(told["sqlstate"] or "XX000", message, position, told["hint"] or None)


_FIELDS = {
    "sqlstate": DiagnosticField.SQLSTATE,
    "message": DiagnosticField.MESSAGE_PRIMARY,
    "detail": DiagnosticField.MESSAGE_DETAIL,
    "hint": DiagnosticField.MESSAGE_HINT,
    "position": DiagnosticField.STATEMENT_POSITION,
}


def _keep_notice(found: QueryResult, notice: Any) -> None:
    if len(found.notices) < MOST_NOTICES:
        message = (notice.message_primary or "")[:LONGEST_NOTICE]
        found.notices.append({"severity": notice.severity_nonlocalized or "NOTICE", "message": message})


def _value(raw: bytes | None, kind: int) -> Any:
    """Return a value as JSON knows it; what JSON has no like of stays the text that Postgres writes."""
    if raw is None:
        return None
    read = _READERS.get(kind, _text)
    try:
        return read(raw)
    except (ValueError, RecursionError):
        return _text(raw)


def _float(raw: bytes) -> float | str:
    number = float(raw)
    return number if math.isfinite(number) else _text(raw)


def _text(raw: bytes) -> str:
    # A session may have changed its encoding.
    return raw.decode("utf-8", "replace").replace("\0", "")


_READERS: dict[int, Callable[[bytes], Any]] = {
    BOOL: lambda raw: raw == b"t",
    **dict.fromkeys(INTEGERS, int),
    **dict.fromkeys(FLOATS, _float),
    **dict.fromkeys(JSON, json.loads),
}
