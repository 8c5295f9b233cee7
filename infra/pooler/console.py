"""PgBouncer's administration console: one short login for each errand, every wait with an end."""

from __future__ import annotations

import select
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import pq

from infra.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPENDENCY = "pooler"
CONNECT_SECONDS = 5
ANSWER_SECONDS = 10.0


class ConsoleTimeout(Unavailable):
    """The console did not answer in time; what was asked may still be done."""


class Console:
    """A login to the console. It speaks the simple protocol alone, and knows no quoting but double quotes."""

    def __init__(self, session: psycopg.Connection[Any]) -> None:
        self._wire = session.pgconn

    def run_command(self, command: str, *, seconds: float = ANSWER_SECONDS) -> list[dict[str, str]]:
        """Carry out a command; return what it shows, by column. Raises Unavailable, ConsoleTimeout."""
        try:
            self._wire.send_query(command.encode())
            result = self._answer(time.monotonic() + seconds)
        except psycopg.Error as error:
            raise Unavailable(f"PgBouncer went away ({type(error).__name__})", dependency=DEPENDENCY) from error
        if result.status not in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK):
            raise Unavailable(f"PgBouncer refused: {result.get_error_message()}".strip())
        names = [(result.fname(at) or b"").decode() for at in range(result.nfields)]
        return [
            {name: (result.get_value(row, at) or b"").decode() for at, name in enumerate(names)}
            for row in range(result.ntuples)
        ]

    def _answer(self, deadline: float) -> pq.abc.PGresult:
        last = None
        readable = select.poll()  # unlike select(), whatever number the socket has
        readable.register(self._wire.socket, select.POLLIN)
        while True:
            while self._wire.is_busy():
                left = deadline - time.monotonic()
                if left <= 0 or not readable.poll(left * 1000):
                    raise ConsoleTimeout("PgBouncer does not answer in time", dependency=DEPENDENCY)
                self._wire.consume_input()
            result = self._wire.get_result()
            if result is None:
                break
            last = result
        if last is None:
            raise Unavailable("PgBouncer did not answer", dependency=DEPENDENCY)
        return last


@contextmanager
def open_console(url: str, password: str) -> Iterator[Console]:
    """Log in to the console. Raises Unavailable while PgBouncer is away, hangs, or does not take the password."""
    try:
        session: psycopg.Connection[Any] = psycopg.connect(
            url, password=password, autocommit=True, connect_timeout=CONNECT_SECONDS, prepare_threshold=None
        )
    except psycopg.OperationalError as error:
        raise Unavailable("PgBouncer cannot be reached", dependency=DEPENDENCY) from error
    try:
        yield Console(session)
    finally:
        session.close()
