"""The wire to a tenant's SQL: what comes is read by the clock and by the byte, which psycopg alone would read whole."""

from __future__ import annotations

import fcntl
import json
import os
import select
import socket
import struct
import sys
import termios
import time
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus

from infra.errors import InfraError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.pq.abc import PGresult

    from infra.postgres.cluster import Session

# Where the kernel's struct tcp_info has what was received, and how much may wait to be read.
BYTES_RECEIVED, RECEIVED = slice(128, 136), 32 * 1024


class SqlRefused(InfraError):
    """The server refused the tenant's statement. position counts the characters of the query from 1."""

    def __init__(self, sqlstate: str, message: str, position: int | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate, self.position, self.hint = sqlstate, position, hint


class SqlTooLong(InfraError):
    """The statement took longer than it was given and was stopped; what it had not committed is rolled back."""


class SqlTooLarge(InfraError):
    """The statement returns more than anybody would read and was stopped."""


class BoundedQuery:
    """Sends a query and reads what comes, by the clock and by the byte; psycopg alone would read it all first."""

    def __init__(self, session: Session, deadline: float, most: int) -> None:
        self._pg = session.pgconn
        self._pg.nonblocking = 0
        self._deadline = deadline
        self._most = most
        self._counted = 0
        self._socket = socket.socket(fileno=os.dup(self._pg.socket))
        self._is_tcp = self._socket.family != socket.AF_UNIX
        # libpq reads one huge value for as long as there is more to read: with little it comes up for air.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED)
        self._begun = self._received()
        self._poll = select.poll()
        self._poll.register(self._pg.socket, select.POLLIN)

    def send(self, query: str, params: list[Any] | None) -> Iterator[PGresult]:
        """Run it; give the results as they come, rows one by one."""
        if params is None:
            self._pg.send_query(query.encode())
        else:
            self._pg.send_query_params(query.encode(), [_argument(value) for value in params])
        self._pg.set_single_row_mode()
        while True:
            while self._pg.is_busy():
                self._read()
            result = self._pg.get_result()
            if result is None:
                return
            yield result

    def is_settled(self) -> bool:
        """Whether no transaction was left open."""
        return self._pg.transaction_status == TransactionStatus.IDLE

    def _read(self) -> None:
        seconds = self._deadline - time.monotonic()
        if seconds <= 0 or not self._poll.poll(seconds * 1000):
            raise SqlTooLong("the time is over")
        if self._received() - self._begun > self._most:
            raise SqlTooLarge("more is returned than anybody would read; add a LIMIT")
        try:
            self._pg.consume_input()
        except psycopg.OperationalError as error:
            raise SqlRefused("08006", "the session was ended by the server") from error

    def close(self) -> None:
        """Give back what it looked through; the session is not its own."""
        self._socket.close()

    def _received(self) -> int:
        """Return the bytes that have come so far, by the kernel's count where it keeps one."""
        if self._is_tcp:
            told = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_RECEIVED.stop)
            return int.from_bytes(told[BYTES_RECEIVED], sys.byteorder)
        self._counted += struct.unpack("i", fcntl.ioctl(self._pg.socket, termios.FIONREAD, bytes(4)))[0]
        return self._counted


def _argument(value: Any) -> bytes | None:
    """Return a JSON value as the text that Postgres reads for a parameter, whose type it finds by itself."""
    if value is None:
        return None
    return (value if isinstance(value, str) else json.dumps(value)).encode()
