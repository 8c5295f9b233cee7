"""Transactions in a project's database, where an owner's triggers, defaults and rules run with what we do.

They run as the project's Auth login, whose rights the owner has anyway. What they must not do is decide how the next
request is carried out: so each transaction sets what it depends on for itself, and what one has left in the session is
cleared away in the round trip that ends it. A pooler may lend the session to another request right behind that.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus

from app.auth.errors import AuthError
from app.data.run.pipeline import run_pipeline
from app.data.run.reset import reset_steps
from app.data.run.steps import PipelineStep, make_step
from infra.postgres.database import Transaction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import sql

    from app.data.run.pipeline import PipelineConnection

# Whatever the login, the database or a request before has them as. Names are written with their schema; operators and
# functions are looked for where nobody but Postgres has put any.
_SETTINGS = {
    "search_path": "pg_catalog, pg_temp",
    "statement_timeout": "20s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "60s",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "bytea_output": "hex",
}
_BEGIN = b"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_SET = ", ".join(f"pg_catalog.set_config('{name}', '{value}', true)" for name, value in _SETTINGS.items()).encode()
_CLEARING = b"; ".join(step.text for step in reset_steps(thorough=True))
_COMMITTING, _ROLLING_BACK = b"COMMIT; " + _CLEARING, b"ROLLBACK; " + _CLEARING
_OPENING = b"%b; SELECT %b" % (_BEGIN, _SET)
_OPENING_STEPS = (PipelineStep(_BEGIN), PipelineStep(b"SELECT " + _SET, keep=True))
_CLOSING_STEPS = (PipelineStep(b"COMMIT"), *reset_steps(thorough=True))
_UNDOING_STEPS = (PipelineStep(b"ROLLBACK"), *reset_steps(thorough=True))


@contextlib.contextmanager
def in_transaction(connection: PipelineConnection, *, keep_on_refusal: bool = False) -> Iterator[Transaction]:
    """Run a transaction: committed on leaving, rolled back on an exception; the session is as it was before.

    keep_on_refusal  commit what was done although it ends with an AuthError
    """
    connection.is_touched = True
    connection.execute(_OPENING)
    try:
        yield Transaction(connection)
    except AuthError:
        if not connection.closed:  # as after a hook that would not end
            _end(connection, commit=keep_on_refusal)
        raise
    except BaseException:
        with contextlib.suppress(psycopg.Error):  # a session that is gone has nothing to roll back
            _end(connection, commit=False)
        raise
    if connection.info.transaction_status == TransactionStatus.INERROR:  # COMMIT would roll back without a word
        _end(connection, commit=False)
        raise psycopg.errors.InFailedSqlTransaction("a statement has failed, and nothing was committed")
    _end(connection, commit=True)


def ask(connection: PipelineConnection, query: sql.Composable, values: dict[str, object]) -> Any:
    """Run one statement in a transaction of its own, all in one round trip; return the JSON of its one value, or None.

    Raises psycopg.Error; nothing of it remains then.
    """
    steps = [*_OPENING_STEPS, make_step(query, values, keep=True), *_CLOSING_STEPS]
    place, end = len(_OPENING_STEPS), len(_OPENING_STEPS) + 1
    connection.is_touched = True
    said = run_pipeline(connection, steps)
    if said.outlived and len(said.results) <= end:  # what was prepared is of no use any more; nothing was done
        _undo(connection)
        said = run_pipeline(connection, steps)
    if said.error is not None:
        _undo(connection)
        if len(said.results) <= end:
            raise said.error
    else:
        connection.is_touched = False
    result = said.results[place]
    found = result.get_value(0, 0) if result.ntuples else None
    return None if found is None else json.loads(found)


def _end(connection: PipelineConnection, *, commit: bool) -> None:
    """End the transaction and clear the session, in one round trip; one that could not be cleared is not lent again."""
    connection.execute(_COMMITTING if commit else _ROLLING_BACK)
    connection.is_touched = False


def _undo(connection: PipelineConnection) -> None:
    with contextlib.suppress(psycopg.Error):
        connection.is_touched = run_pipeline(connection, _UNDOING_STEPS).error is not None
