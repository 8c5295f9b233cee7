"""Runs a planned request: one transaction, the caller's role and claims set for it alone."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, NamedTuple

import psycopg

from app.data.errors import LocksExhausted, PgrstError
from app.data.plan import schema
from app.data.run import raised
from app.data.run.pipeline import WORN_BYTES, run_pipeline
from app.data.run.reset import reset_steps
from app.data.run.steps import PipelineStep, make_step
from app.data.run.transaction import BEGIN, END, GUARD, SETUP, WORK, closing_steps, opening_steps
from infra import exhaustion

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

    from app.data.parse.request import Request
    from app.data.plan.schema import SchemaCache
    from app.data.run.pipeline import PipelineConnection, PipelineResult
    from app.data.run.transaction import ExecutionContext
    from app.data.sql.statement import PlannedStatement

# What no text of ours is read as; by it the guard stops a transaction without a function in anybody's database.
NOT_A_NUMBER = "22P02"
# Told by Postgres itself. A pooler's own words may have come after a minute in its queue, which nobody joins again.
SHUTDOWN = "57P"
# What is not there any more, as the statement's author names it and as the server does.
OF_THE_SCHEMA = ("42", "XX")


class PlanOutdated(Exception):
    """The schema has changed since the request was planned, and nothing of it remains; plan it anew."""


class SchemaChanged(Exception):
    """The request itself has changed the schema, and nothing of it remains; carry it out with the guard before it."""


class SessionEnded(Exception):
    """The session was ended before the request itself had begun; another session can carry it out."""


class Outcome(NamedTuple):
    """What the one row of a statement says, as bytes of the wire."""

    total: bytes | None
    page: int
    body: bytes
    headers: bytes | None
    status: bytes | None
    inserted: bytes | None


def run(connection: PipelineConnection, statement: PlannedStatement, terms: ExecutionContext) -> Outcome:
    """Run a planned statement in a transaction of its own: in one round trip, unless it is judged before its end.

    A write is committed only while the schema, seen when the write has its locks, is the one it was planned against.
    Raises PgrstError, PlanOutdated, SchemaChanged, LocksExhausted or SessionEnded; nothing of the request remains
    then, and the connection is clean or closed.
    """
    try:
        steps, ends = opening_steps(statement, terms), closing_steps(statement, terms)
        if not _is_judged(statement, terms.request):
            return _outcome(connection, _carried_out(connection, steps | ends, terms), statement)
        outcome = _outcome(connection, _carried_out(connection, steps, terms), statement)
        _judge(outcome, statement, terms.request)
        outcome = _estimated(connection, outcome, statement, terms)
        _carried_out(connection, ends, terms)
    except psycopg.Error as error:
        fault = raised.error_of_postgres(error, authenticated=terms.identity.authenticated)
        raise LocksExhausted(fault) if exhaustion.is_lock_table_full(error) else fault from None
    finally:
        _leave(connection)
    return outcome


def read_stamp(connection: PipelineConnection, cache: SchemaCache) -> str | None:
    """Return the schema's stamp as it is now, or None when it cannot be had. What request is open is ended."""
    steps = [*_clearing(connection), PipelineStep(schema.stamp_sql(cache).encode(), keep=True)]
    try:
        said = run_pipeline(connection, steps, stamp=cache.stamp)
    except psycopg.OperationalError:
        return None
    if said.error is not None:
        return None
    connection.is_touched = False
    found = said.results[-1].get_value(0, 0)
    return found.decode() if found is not None else None


def _carried_out(
    connection: PipelineConnection, steps: dict[str, PipelineStep], terms: ExecutionContext
) -> dict[str, PGresult]:
    """Run the steps; return their results.

    Raises PgrstError, PlanOutdated, SchemaChanged, SessionEnded; psycopg.OperationalError.
    """
    connection.is_touched = True
    said = run_pipeline(connection, list(steps.values()), stamp=terms.cache.stamp)
    results = dict(zip(steps, said.results, strict=False))
    if said.outlived and BEGIN in steps and END not in results:
        # Nothing of it was done. Nothing is prepared the second time, so this ends here.
        _leave(connection)
        connection.is_touched = True
        said = run_pipeline(connection, list(steps.values()), stamp=terms.cache.stamp)
        results = dict(zip(steps, said.results, strict=False))
    if said.error is not None and END not in results:
        raise _why(connection, said, steps, terms)
    # Behind its end a request is done, whatever comes of clearing up; a session that is not clear then goes.
    connection.is_touched = END not in results or said.error is not None
    # Behind a guard it is settled: what has been committed is not done again, whatever was seen before.
    if (
        terms.looks
        and SETUP in results
        and GUARD not in results
        and results[SETUP].get_value(0, 0) != terms.cache.stamp.encode()
    ):
        raise PlanOutdated
    return results


def _why(
    connection: PipelineConnection, said: PipelineResult, steps: dict[str, PipelineStep], terms: ExecutionContext
) -> Exception:
    """Return what a failure means for the request; the transaction is ended."""
    assert said.error is not None  # noqa: S101 - the caller looked
    at = list(steps)[max(said.failed, 0)]
    if connection.closed and at == BEGIN and (said.error.sqlstate or "").startswith(SHUTDOWN):
        return SessionEnded()
    if at == GUARD and (said.error.sqlstate == NOT_A_NUMBER or said.outlived):
        # What the transaction saw and is not there without it, it did itself.
        alone = not said.outlived and read_stamp(connection, terms.cache) == terms.cache.stamp
        return SchemaChanged() if alone and not terms.guard_first else PlanOutdated()
    # It may have failed because it was planned against what is no longer so.
    looks = terms.looks or (said.error.sqlstate or "").startswith(OF_THE_SCHEMA)
    if looks and not connection.closed and read_stamp(connection, terms.cache) != terms.cache.stamp:
        return PlanOutdated()
    return said.error


def _is_judged(statement: PlannedStatement, request: Request) -> bool:
    """Return whether a result may be refused, or asks for more, before the transaction ends. A plan is only told."""
    if statement.media.is_plan:
        return False
    strict = request.preferences.max_affected is not None and request.preferences.strict
    return request.method == "PUT" or statement.media.single or statement.count is not None or strict


def _judge(outcome: Outcome, statement: PlannedStatement, request: Request) -> None:
    """Raise PgrstError when what happened is not what the request allowed: the transaction is then rolled back."""
    if request.method == "PUT" and outcome.page != 1:
        raise PgrstError("PGRST115", "Payload values do not match URL in primary key column(s)")
    if statement.media.single and outcome.page != 1:
        raise PgrstError(
            "PGRST116", "Cannot coerce the result to a single JSON object", f"The result contains {outcome.page} rows"
        )
    most = request.preferences.max_affected
    limited = request.method in ("PATCH", "DELETE") or statement.routine is not None
    if limited and most is not None and request.preferences.strict and outcome.page > most:
        raise PgrstError(
            "PGRST124",
            "Query result exceeds max-affected preference constraint",
            f"The query affects {outcome.page} rows",
        )


def _estimated(
    connection: PipelineConnection, outcome: Outcome, statement: PlannedStatement, terms: ExecutionContext
) -> Outcome:
    asked, most = terms.request.preferences.count, terms.config.db_max_rows or 0
    if statement.count is None or (asked == "estimated" and int(outcome.total or 0) <= most):
        return outcome
    text, values = statement.count
    found = _carried_out(connection, {"plan": make_step(text, values)}, terms)["plan"].get_value(0, 0)
    planned = int(json.loads(found or b"")[0]["Plan"]["Plan Rows"])
    total = planned if asked == "planned" else max(planned, int(outcome.total or 0))
    return outcome._replace(total=str(total).encode())


def _outcome(connection: PipelineConnection, results: dict[str, PGresult], statement: PlannedStatement) -> Outcome:
    row = results[WORK]
    if statement.media.is_plan:
        lines = [row.get_value(number, 0) or b"" for number in range(row.ntuples)]
        return Outcome(None, 0, b"\n".join(lines), None, None, None)
    total, page, body, headers, status, inserted = (row.get_value(0, place) for place in range(6))
    connection.is_worn = connection.is_worn or len(body or b"") > WORN_BYTES
    return Outcome(total, int(page or 0), body or b"", headers, status, inserted)


def _leave(connection: PipelineConnection) -> None:
    """Leave nothing behind: what cannot be rolled back goes with its session."""
    if connection.closed or connection.is_clean:
        return
    with contextlib.suppress(psycopg.Error):
        connection.is_touched = run_pipeline(connection, _clearing(connection)).error is not None
    if not connection.is_clean:
        connection.close()


def _clearing(connection: PipelineConnection) -> list[PipelineStep]:
    """Return what ends the request that is open in a session, and clears up behind it."""
    return [] if connection.is_clean else [PipelineStep(b"ROLLBACK"), *reset_steps(thorough=True)]
