"""Statements that leave together and are answered together, in one round trip, and what the session then is.

psycopg's own pipelines note a statement as prepared when it is sent. One that fails makes the server skip all behind
it, and a statement that was skipped is believed prepared for as long as the connection lives.
"""

from __future__ import annotations

import select
from contextlib import closing
from dataclasses import dataclass
from operator import methodcaller
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg import capabilities
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus, PipelineStatus, TransactionStatus

from app.data.run.prepared import PreparedStatements, key_of
from infra.sluice import Sluice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from psycopg.pq.abc import PGconn, PGresult

    from app.data.run.steps import PipelineStep

# Where the server finds out that it no longer has, or can no longer use, what it prepared: a text sent anew runs.
OUTLIVED = frozenset({"FetchPreparedStatement", "RevalidateCachedQuery"})
CLOSE, PREPARE, RUN = "close", "prepare", "run"
# An answer that comes in more pieces is counted while it comes. Before its second piece libpq knows of no huge text,
# which it would read for as long as there is more.
UNCOUNTED_PIECES = 1
# The buffer of a connection never becomes smaller again: one that has taken so much is not kept.
WORN_BYTES = 1024 * 1024


class AnswerTooLarge(psycopg.OperationalError):
    """More came than an answer may have, be it rows, notices or what an error says; the connection is closed."""


@dataclass(frozen=True)
class PipelineResult:
    """What came of a pipeline: a result for each step, or for those before the one that failed.

    failed: its number, -1 for none. outlived: a prepared statement of ours was gone or no longer of use.
    """

    results: list[PGresult]
    failed: int = -1
    error: psycopg.Error | None = None
    outlived: bool = False


class PipelineConnection(psycopg.Connection[Any]):
    """A connection whose pipelines are ours. It prepares what comes again, unless it has no book."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.book: PreparedStatements | None = PreparedStatements() if capabilities.has_send_close_prepared() else None
        self.is_touched = False  # a request has begun in it, and has not been cleared away
        self.is_worn = False  # it has taken a large answer, and has a large buffer now
        self.answer_bytes_max = 0  # that may come in one pipeline; 0: any number

    @property
    def is_clean(self) -> bool:
        """Return whether nothing of a request is left: no transaction, pipeline or answer, nothing in its session."""
        pg = self.pgconn
        return (
            not self.is_touched
            and pg.status == ConnStatus.OK
            and pg.transaction_status == TransactionStatus.IDLE
            and pg.pipeline_status == PipelineStatus.OFF
        )


def run_pipeline(
    connection: PipelineConnection, steps: Sequence[PipelineStep], *, stamp: str | None = None
) -> PipelineResult:
    """Run the steps one after another, up to the first that fails, in one round trip.

    stamp: the schema's, under which the statements were planned. The transaction is as the steps leave it. Raises
    psycopg.OperationalError when the connection is lost and no answer says why, or too much comes; it is closed then.
    """
    book, pg = connection.book, connection.pgconn
    if book is not None and stamp is not None:
        book.use_stamp(stamp)
    sent = _messages(book, steps)
    try:
        pg.enter_pipeline_mode()
        for message in sent:
            message.send(pg)
        pg.pipeline_sync()
        with closing(_Inflow(connection)) as inflow:
            results = _received(pg, len(sent), inflow)
        while pg.notifies() is not None:
            pass  # of what a function has listened to; they would be kept for who never asks
        if pg.status == ConnStatus.OK:
            pg.exit_pipeline_mode()
    except BaseException:
        # What was on its way when somebody stopped us is nobody's answer.
        connection.close()
        raise
    said = _said(book, sent, results)
    connection.is_worn = connection.is_worn or len(str(said.error or "")) > WORN_BYTES
    return said


class _Message(NamedTuple):
    """One message to the server, with an answer of its own. number: of the step that it is for."""

    send: Callable[[PGconn], None]
    kind: str
    number: int = -1
    key: bytes = b""
    name: bytes = b""


def _messages(book: PreparedStatements | None, steps: Iterable[PipelineStep]) -> list[_Message]:
    if book is None:
        return [_plain(number, each) for number, each in enumerate(steps)]
    sent = [_Message(methodcaller("send_close_prepared", name), CLOSE) for name in book.take_closable()]
    for number, each in enumerate(steps):
        key = key_of(each.text) if each.keep else b""
        name = book.name_of(key) if key else None
        if name is None and key and (name := book.offer_name(key)) is not None:
            text = b"%b /* %b */" % (each.text, book.mark)
            sent.append(_Message(methodcaller("send_prepare", name, text), PREPARE, number, key, name))
        if name is None:
            sent.append(_plain(number, each, key))
        else:
            run = methodcaller("send_query_prepared", name, each.values, None, int(each.is_binary))
            sent.append(_Message(run, RUN, number, b"", name))
    return sent


def _plain(number: int, each: PipelineStep, key: bytes = b"") -> _Message:
    run = methodcaller("send_query_params", each.text, each.values, None, None, int(each.is_binary))
    return _Message(run, RUN, number, key)


class _Inflow:
    """What comes of an answer, counted once it is a long one."""

    def __init__(self, connection: PipelineConnection) -> None:
        self._connection, self._pieces = connection, 0
        self._sluice: Sluice | None = None
        self._waiting = select.poll()
        self._waiting.register(connection.pgconn.socket, select.POLLIN | select.POLLOUT)

    def read(self, *, is_sent: bool) -> None:
        """Wait for more and take it. is_sent: nothing is left to be sent. Raises AnswerTooLarge, OperationalError."""
        pg = self._connection.pgconn
        if is_sent and self._pieces >= UNCOUNTED_PIECES and self._sluice is None:
            self._sluice = Sluice(pg.socket)
            self._waiting = select.poll()
            self._waiting.register(self._sluice.fileno(), select.POLLIN)
        elif is_sent and self._sluice is None:
            self._waiting.modify(pg.socket, select.POLLIN)
        self._waiting.poll()
        self._pieces += is_sent
        if self._sluice is not None:
            self._sluice.let_through()
            self._check(self._sluice.count)
        pg.consume_input()
        while self._sluice is not None and self._sluice.unread:
            pg.consume_input()  # its buffer had no room for all of it

    def _check(self, count: int) -> None:
        most = self._connection.answer_bytes_max
        self._connection.is_worn = self._connection.is_worn or count > WORN_BYTES
        if most and count > most:
            raise AnswerTooLarge("more came than an answer may have")

    def close(self) -> None:
        """Leave the connection as it was; one of which something is left unread is of no use to anybody."""
        if self._sluice is None:
            return
        if self._connection.pgconn.status != ConnStatus.OK:
            self._sluice.close()
        elif not self._sluice.restore():
            self._connection.close()


def _received(pg: PGconn, total: int, inflow: _Inflow) -> list[PGresult]:
    """Return the result of each message that was answered. Raises psycopg.OperationalError when none says why not."""
    results: list[PGresult] = []
    while True:
        try:
            inflow.read(is_sent=not pg.flush())
        except AnswerTooLarge:
            raise
        except psycopg.OperationalError:
            # What the server said before it left is still to be read.
            _drain(pg, results)
            if len(results) < total and not any(_sqlstate(result) for result in results):
                raise
            return results
        if _drain(pg, results):
            return results


def _drain(pg: PGconn, results: list[PGresult]) -> bool:
    """Take what has come; say whether that was all."""
    while not pg.is_busy():
        result = pg.get_result()
        if result is None:
            # The end of one answer; behind it comes the next, unless nobody is there any more.
            if pg.status == ConnStatus.BAD:
                return False
        elif result.status == ExecStatus.PIPELINE_SYNC:
            return True
        else:
            results.append(result)
    return False


def _sqlstate(result: PGresult) -> bytes | None:
    return result.error_field(DiagnosticField.SQLSTATE) if result.status == ExecStatus.FATAL_ERROR else None


def _said(book: PreparedStatements | None, sent: list[_Message], results: list[PGresult]) -> PipelineResult:
    done: list[PGresult] = []
    failure: tuple[_Message, PGresult] | None = None
    for message, result in zip(sent, results, strict=False):
        good = result.status in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)
        if not good and failure is None:
            failure = message, result
        if message.kind == RUN and good:
            done.append(result)
        if book is not None:
            _noted(book, message, good=good)
    if failure is None:
        return PipelineResult(done)
    message, result = failure
    error = error_from_result(result)
    # Not when a function says so, which has a context.
    named, diagnosis = message.kind == RUN and bool(message.name), error.diag
    outlived = named and diagnosis.source_function in OUTLIVED and not diagnosis.context
    if outlived and book is not None:
        book.forget_all()
    return PipelineResult(done, message.number, error, outlived)


def _noted(book: PreparedStatements, message: _Message, *, good: bool) -> None:
    if message.kind == PREPARE:
        if good:
            book.confirm(message.key, message.name)
        else:
            book.refuse(message.name)
    elif message.kind == RUN and message.key and good:
        book.count_success(message.key)
