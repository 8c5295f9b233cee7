"""A tenant's own SQL, logged in as its owner: bounded in time, rows and bytes, whatever the SQL does."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import DiagnosticField, ExecStatus, TransactionStatus

from infra.errors import InfraError
from infra.postgres.sql import statements
from infra.postgres.supabase_sql.alternatives import alternative_to
from infra.postgres.supabase_sql.rewrites import RewrittenSql, rewrite
from infra.postgres.tenant_session import TookTooLong, tenant_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from psycopg.pq.abc import PGresult

    from infra.postgres.cluster import Cluster
    from infra.postgres.tenant_session import Bounds, TenantSession

SQL = statements(__file__)
NAME = "launchdb-sql"
READ_ONLY = {"default_transaction_read_only": "on"}
MOST_NOTICES, LONGEST_NOTICE = 100, 2000
BOOL, JSON, INTEGERS, FLOATS = 16, (114, 3802), (20, 21, 23, 26), (700, 701)
CANCELLED, COPY = "57014", "0A000"
_COPIES = (ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH)


class SqlRefused(InfraError):
    """The server refused the tenant's statement. position counts the characters of the query from 1."""

    def __init__(self, sqlstate: str, message: str, position: int | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate, self.position, self.hint = sqlstate, position, hint


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

    def __init__(self, cluster: Cluster, uri: str) -> None:
        self._cluster = cluster
        self._uri = uri

    def run(self, query: str, params: list[Any] | None, bounds: Bounds, *, read_only: bool) -> QueryResult:
        """Run `query`: one statement when it has parameters ($1, …), any number in one transaction otherwise.

        bounds  of the session, by which also one statement is bounded; of rows and bytes the answer keeps so many

        Raises SqlRefused, TookTooLong, TooLarge, Crowded; Unavailable.
        """
        within = replace(bounds, statement_seconds=bounds.seconds, settings=READ_ONLY if read_only else {})
        found = QueryResult()
        with tenant_session(self._cluster, self._uri, NAME, within) as session:
            session.add_notice_handler(lambda notice: _keep_notice(found, notice))
            rewritten = rewrite(query, session.info.dbname) if params is None else RewrittenSql(query)
            try:
                _collect(session, found, rewritten.text, params, bounds)
            except SqlRefused as error:
                error.position = rewritten.position(error.position)
                error.hint = alternative_to(str(error)) or error.hint
                raise
        return found


def _collect(session: TenantSession, found: QueryResult, query: str, params: list[Any] | None, bounds: Bounds) -> None:
    types: list[int] = []
    kept, fresh = 0, True
    for result in _results(session, query, params):
        _refuse(result)
        if fresh and result.status in (ExecStatus.SINGLE_TUPLE, ExecStatus.TUPLES_OK):
            types = [result.ftype(place) for place in range(result.nfields)]
            found.columns = [(_text(result.fname(place) or b""), "") for place in range(result.nfields)]
            found.rows, found.truncated, kept = [], False, 0
        if result.status == ExecStatus.SINGLE_TUPLE:
            fresh = False
            raw = [result.get_value(0, place) for place in range(result.nfields)]
            kept += sum(len(value or b"") for value in raw)
            found.truncated = found.truncated or len(found.rows) == bounds.rows or kept > (bounds.size or kept)
            if not found.truncated:
                found.rows.append([_value(value, kind) for value, kind in zip(raw, types, strict=True)])
            continue
        fresh = True
        found.command = _text(result.command_status or b"")
        found.count = result.command_tuples or 0
    if session.info.transaction_status != TransactionStatus.IDLE:
        found.notices.append({"severity": "WARNING", "message": "the transaction was left open and is rolled back"})
        list(_results(session, "ROLLBACK", None))
    try:
        names = _type_names(session, types) if types else []
    except (SqlRefused, TookTooLong):
        # The tenant's statements are done, and a name is not worth saying that they are not.
        names = ["unknown"] * len(types)
    found.columns = [(name, kind) for (name, _), kind in zip(found.columns, names, strict=True)]


def _results(session: TenantSession, query: str, params: Sequence[Any] | None) -> Iterator[PGresult]:
    values = None if params is None else [_argument(value) for value in params]
    try:
        yield from session.results(query, values)
    except psycopg.OperationalError as error:
        raise SqlRefused("08006", "the session was ended by the server") from error


def _argument(value: Any) -> bytes | None:
    """Return a JSON value as the text that Postgres reads for a parameter, whose type it finds by itself."""
    if value is None:
        return None
    return (value if isinstance(value, str) else json.dumps(value)).encode()


def _type_names(session: TenantSession, types: list[int]) -> list[str]:
    known = {}
    for result in _results(session, SQL.type_names.as_string(), ["{" + ",".join(map(str, types)) + "}"]):
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
        raise TookTooLong(told["message"])
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
