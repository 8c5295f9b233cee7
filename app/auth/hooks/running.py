"""Calling a function of the owner's: as Auth's own login, in its transaction, bounded in time and bytes.

That login can do nothing that the owner cannot, whose code runs in its sessions anyway, by triggers. A function may
lift the server's limit, or catch its end: then our clock lets go of the session, which the server ends by itself.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, cast

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from app.auth.errors import AuthError
from app.data.run.pipeline import AnswerTooLarge, run_pipeline
from app.data.run.steps import make_step
from catalog.auth_settings.members import function_parts
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from app.auth.serve.call import AuthCall
    from app.data.run.pipeline import PipelineConnection, PipelineResult
    from infra.postgres.database import Transaction

log = logging.getLogger(__name__)
SQL = statements(__file__)
SECONDS, GRACE_SECONDS = 2.0, 0.5
ANSWER_BYTES_MAX = 64 * 1024
# Notices and what an error says count as well.
RECEIVED_BYTES_MAX = 1024 * 1024
CANCELLED = "57014"


def run(call: AuthCall, tx: Transaction, hook: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Call the function and return the object that it answers; {} when it answers nothing.

    hook  the function, as the setting names it

    Raises AuthError: what the function refuses, and everything that goes wrong.
    """
    connection = cast("PipelineConnection", tx.connection)
    is_alone = connection.info.transaction_status == TransactionStatus.IDLE
    with connection.transaction() if is_alone else nullcontext():
        raw = _called(call, connection, hook, payload)
    try:
        answer = json.loads(raw) if raw else {}
    except (ValueError, RecursionError) as error:
        raise _failed(hook, "its answer is no JSON") from error
    if answer is None:
        return {}
    if not isinstance(answer, dict):
        raise _failed(hook, "its answer is no object")
    _heed_refusal(answer)
    return answer


def _called(call: AuthCall, connection: PipelineConnection, hook: str, payload: Mapping[str, Any]) -> bytes:
    steps = [
        make_step(SQL.begin),
        make_step(SQL.bound, {"milliseconds": int(SECONDS * 1000)}),
        make_step(
            SQL.call.format(function=sql.Identifier(*function_parts(hook)), most=sql.Literal(ANSWER_BYTES_MAX)),
            {"payload": json.dumps(payload)},
        ),
        make_step(SQL.unbound),
        make_step(SQL.release),
    ]
    most, connection.answer_bytes_max = connection.answer_bytes_max, RECEIVED_BYTES_MAX
    try:
        with _let_go_in_time(connection) as over:
            found = run_pipeline(connection, steps)
    except AnswerTooLarge as error:
        raise _too_large() from error
    except psycopg.OperationalError as error:
        if over.is_set():
            raise _timeout(call, hook) from error
        raise
    finally:
        connection.answer_bytes_max = most
    if over.is_set():  # it has answered while the connection was shut
        connection.close()
        raise _timeout(call, hook)
    if found.error is not None:
        _undo(connection)
        if found.error.sqlstate == CANCELLED:
            raise _timeout(call, hook) from found.error
        raise _failed(hook, f"SQLSTATE {found.error.sqlstate}") from found.error
    return _answer(found)


def _answer(found: PipelineResult) -> bytes:
    result = found.results[2]
    if not result.ntuples or result.get_value(0, 0) is None:
        return b""
    value = result.get_value(0, 1)
    if value is None:
        raise _too_large()
    return value


def _undo(connection: PipelineConnection) -> None:
    """Go back to before the call, so that the transaction is whole, whatever the caller makes of it."""
    with suppress(psycopg.Error):
        run_pipeline(connection, [make_step(SQL.back), make_step(SQL.release)])


@contextmanager
def _let_go_in_time(connection: PipelineConnection) -> Iterator[threading.Event]:
    """Shut the connection when a function has outlived the server's own limit."""
    over = threading.Event()
    twin = socket.socket(fileno=os.dup(connection.pgconn.socket))

    def let_go() -> None:
        over.set()
        with suppress(OSError):
            twin.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(SECONDS + GRACE_SECONDS, let_go)
    timer.daemon = True
    timer.start()
    try:
        yield over
    finally:
        timer.cancel()
        timer.join()
        twin.close()


def _heed_refusal(answer: dict[str, Any]) -> None:
    error = answer.get("error")
    if not isinstance(error, dict) or not (error.get("message") or error.get("http_code")):
        return
    status, message = error.get("http_code"), error.get("message")
    if isinstance(status, bool) or not isinstance(status, int) or not 400 <= status < 600:
        status = 500
    code = "unexpected_failure" if status == 500 else "unknown"
    raise AuthError(status, code, str(message or "")[:2000])


def _timeout(call: AuthCall, hook: str) -> AuthError:
    log.warning("a hook took too long", extra={"project_id": call.project.id, "hook": hook})
    return AuthError(422, "hook_timeout", f"Failed to reach hook within maximum time of {SECONDS:f} seconds")


def _too_large() -> AuthError:
    message = f"Payload size exceeded size limit of {ANSWER_BYTES_MAX} bytes"
    return AuthError(422, "hook_payload_over_size_limit", message)


def _failed(hook: str, why: str) -> AuthError:
    schema, name = function_parts(hook)
    return AuthError(
        500, "unexpected_failure", f"Error running hook URI: pg-functions://postgres/{schema}/{name} ({why})"
    )
