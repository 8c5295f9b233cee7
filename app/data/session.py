"""Runs a planned request: one transaction, the caller's role and claims set for it alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from app.data import raised
from app.data.faults import Fault, headers_of, status_of_state
from app.data.fragments import compose, ident, joined, qualified
from app.data.names import Name
from app.data.request import settings_of

if TYPE_CHECKING:
    from app.data.bearer import Identity
    from app.data.config import DataConfig
    from app.data.connections import Connection
    from app.data.request import Request
    from app.data.statement import Statement

STAMP = sql.SQL("launchdb.schema_stamp()")
NO_STAMP = sql.SQL("NULL::bigint")


@dataclass(frozen=True)
class Outcome:
    """What the one row of a statement says, as bytes of the wire; `stamp` is the schema's at that moment."""

    total: bytes | None
    page: int
    body: bytes
    headers: bytes | None
    status: bytes | None
    inserted: bytes | None
    stamp: int | None


def run(
    connection: Connection, statement: Statement, request: Request, identity: Identity, config: DataConfig,
    *, stamped: bool,
) -> Outcome:  # fmt: skip
    """Run a statement as the identity. A read takes one round trip; a write is judged before it is committed.

    Raises Fault, after which nothing of the request remains.
    """
    setup, values = _setup(statement, request, identity, config, stamped=stamped)
    ends_at_once = not statement.writes and not statement.media.single and statement.count is None
    try:
        with connection.pipeline():
            connection.execute(sql.SQL("BEGIN") if statement.writes else sql.SQL("BEGIN READ ONLY"))
            stamp = connection.execute(setup, values)
            if config.db_pre_request:
                connection.execute(compose("SELECT ", _function(config.db_pre_request), "()"))
            cursor = connection.execute(statement.text, statement.values)
            if ends_at_once:
                connection.execute(sql.SQL("COMMIT"))
        outcome = _outcome(cursor, stamp)
        if not ends_at_once:
            outcome = _finish(connection, outcome, statement, request, config)
    except psycopg.Error as error:
        raise fault_of(error, authenticated=identity.authenticated) from None
    finally:
        _leave(connection)
    return outcome


def fault_of(error: psycopg.Error, *, authenticated: bool) -> Fault:
    """Translate what Postgres reports into the error shape; what the driver says itself stays inside."""
    state, diagnosis = error.sqlstate, error.diag
    if state is None:
        if isinstance(error, psycopg.DataError):
            return Fault("22021", "A value cannot be represented in the database's encoding", status=400)
        return Fault("PGRST001", "Database client error. Retrying the connection.", headers=(("Retry-After", "1"),))
    message = diagnosis.message_primary or ""
    if state == "PGRST":
        return raised.fault(message, diagnosis.message_detail)
    if state.startswith("PT"):
        return raised.chosen(state, message, diagnosis.message_detail, diagnosis.message_hint)
    status = status_of_state(state, message, authenticated=authenticated)
    headers = headers_of(status)
    return Fault(state, message, diagnosis.message_detail, diagnosis.message_hint, status=status, headers=headers)


def _setup(
    statement: Statement, request: Request, identity: Identity, config: DataConfig, *, stamped: bool
) -> tuple[sql.Composed, dict[str, str]]:
    headers, cookies = settings_of(request.raw)
    schemas = dict.fromkeys((request.target.schema, *config.db_extra_search_path))
    settings = [
        ("search_path", ", ".join(ident(name).as_string(None).replace("%%", "%") for name in schemas)),
        ("role", identity.role),
        ("request.jwt.claims", identity.claims),
        ("request.method", request.method),
        ("request.path", request.raw.path),
        ("request.headers", headers),
        ("request.cookies", cookies),
    ]
    if request.preferences.timezone:
        settings.append(("timezone", request.preferences.timezone))
    if statement.routine is not None:
        hoisted = config.db_hoisted_tx_settings
        settings += [(name, value) for name, value in statement.routine.settings if name in hoisted]
    settings += config.app_settings
    values = {f"v{number}": value for number, (_, value) in enumerate(settings)}
    values |= {f"n{number}": name for number, (name, _) in enumerate(settings)}
    calls = [
        compose("set_config(", sql.Placeholder(f"n{number}"), ", ", sql.Placeholder(f"v{number}"), ", true)")
        for number in range(len(settings))
    ]
    return compose("SELECT ", STAMP if stamped else NO_STAMP, ", ", joined(", ", calls)), values


def _finish(
    connection: Connection, outcome: Outcome, statement: Statement, request: Request, config: DataConfig
) -> Outcome:
    _judge(outcome, statement, request)
    if statement.count is not None:
        outcome = _estimated(connection, outcome, statement, request, config)
    asked = request.preferences.end
    rolls_back = asked == "rollback" or (config.rolls_back and asked != "commit")
    if rolls_back:
        # A deferred constraint would only speak at the commit that never comes.
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        connection.execute("ROLLBACK")
    else:
        connection.execute("COMMIT")
    return outcome


def _judge(outcome: Outcome, statement: Statement, request: Request) -> None:
    """Raise Fault when what happened is not what the request allowed: the transaction is then rolled back."""
    if request.method == "PUT" and outcome.page != 1:
        raise Fault("PGRST115", "Payload values do not match URL in primary key column(s)")
    if statement.media.single and outcome.page != 1:
        raise Fault(
            "PGRST116", "Cannot coerce the result to a single JSON object", f"The result contains {outcome.page} rows"
        )
    most = request.preferences.max_affected
    limited = request.method in ("PATCH", "DELETE") or statement.routine is not None
    if limited and most is not None and request.preferences.strict and outcome.page > most:
        raise Fault(
            "PGRST124",
            "Query result exceeds max-affected preference constraint",
            f"The query affects {outcome.page} rows",
        )


def _estimated(
    connection: Connection, outcome: Outcome, statement: Statement, request: Request, config: DataConfig
) -> Outcome:
    assert statement.count is not None  # noqa: S101 - the caller looked
    if request.preferences.count == "estimated" and int(outcome.total or 0) <= (config.db_max_rows or 0):
        return outcome
    row = connection.execute(*statement.count).fetchone()
    planned = int(row[0][0]["Plan"]["Plan Rows"]) if row is not None else 0
    total = planned if request.preferences.count == "planned" else max(planned, int(outcome.total or 0))
    return Outcome(**{**outcome.__dict__, "total": str(total).encode()})


def _outcome(cursor: psycopg.Cursor[Any], stamp: psycopg.Cursor[Any]) -> Outcome:
    result, seen = cursor.pgresult, stamp.pgresult
    if result is None or seen is None:
        raise Fault("PGRST001", "Database client error. Retrying the connection.")
    at = seen.get_value(0, 0)
    return Outcome(
        result.get_value(0, 0),
        int(result.get_value(0, 1) or 0),
        result.get_value(0, 2) or b"",
        result.get_value(0, 3),
        result.get_value(0, 4),
        result.get_value(0, 5),
        int(at) if at is not None else None,
    )


def _leave(connection: Connection) -> None:
    if connection.closed or connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
        return
    try:
        connection.execute("ROLLBACK")
    except psycopg.Error:
        connection.close()


def _function(name: str) -> sql.Composable:
    schema, _, plain = name.rpartition(".")
    return qualified(Name(schema, plain))
