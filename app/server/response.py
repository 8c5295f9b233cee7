"""How an answer leaves: head and body in one write, so that no client waits for the second segment of a small one."""

from __future__ import annotations

import errno
import os
import select
import time
from typing import Any

from gunicorn import util
from gunicorn.http import wsgi

from app.server.arrival import SEND_SECONDS
from app.server.status_line import usual

# An unread body of at most so many bytes is read and dropped for the connection's sake; a larger one ends it.
DROPPED_BODY_BYTES = 65_536
# Who takes an answer more slowly, so many bytes a second, holds a thread that others wait for.
SLOWEST_BYTES = 65_536
# No timeout of zero: that would mean not to wait at all, and be another error.
MOMENT_SECONDS = 0.001
PIECE_BYTES, FILE_PART_BYTES = 65_536, 1024 * 1024
NOT_TAKEN = "the answer was not taken in time"


class OneWrite(wsgi.Response):  # type: ignore[misc]
    """gunicorn's response, but the head waits for the first part of the body, and both leave together."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.headers_sent = False
        self._parts: list[bytes] = []
        self._gathers = False
        self._patience = SEND_SECONDS

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        """Begin, with the reason phrase that everybody sends."""
        return super().start_response(usual(status), headers, exc_info)

    def process_headers(self, headers: list[tuple[str, str]]) -> None:
        """Take the headers; an application that ends the connection is heeded."""
        super().process_headers(headers)
        if any(name.lower() == "connection" and value.lower() == "close" for name, value in headers):
            self.force_close()

    def should_close(self) -> bool:
        """Return whether the connection ends with this answer: also where much of the request was not read."""
        return super().should_close() or getattr(self.req.body.reader, "length", 0) > DROPPED_BODY_BYTES

    def send_headers(self) -> None:
        """Send the head; while a part of the body is written, with that."""
        if self.headers_sent:
            return
        self.headers_sent = True
        lines = [*self.default_headers(), *(f"{name}: {value}\r\n" for name, value in self.headers), "\r\n"]
        self._parts.append(util.to_bytestring("".join(lines), "latin-1"))
        if not self._gathers:
            self._send()

    def write(self, arg: bytes) -> None:
        """Send a part of the body, and the head with the first."""
        self._gathers = True
        try:
            super().write(arg)
        finally:
            self._gathers = False
        self._send()

    def write_file(self, respiter: Any) -> None:
        """Send a file, by the kernel where it is one. Raises TimeoutError when the client takes it too slowly."""
        file = respiter.filelike
        length = 0 if self.chunked else self.response_length or 0
        if length <= PIECE_BYTES or not util.has_fileno(file):  # a small one leaves with its head
            super().write_file(respiter)
            return
        left, offset = length, os.lseek(file.fileno(), 0, os.SEEK_CUR)
        self.send_headers()
        self._patience += left / SLOWEST_BYTES
        while left:
            taken = self._taken_of_file(file.fileno(), offset, min(left, FILE_PART_BYTES))
            if not taken:
                raise OSError(errno.EIO, "the file is shorter than was said")
            left, offset = left - taken, offset + taken

    def close(self) -> None:
        """Send what is left: the head of an answer without a body, the end of one in chunks."""
        self._gathers = True
        self.send_headers()
        if self.chunked:
            self._parts.append(b"0\r\n\r\n")
        self._send()

    def _emit_body(self, data: bytes) -> None:
        self._parts += [f"{len(data):X}\r\n".encode(), data, b"\r\n"] if self.chunked else [data]

    def _send(self) -> None:
        """Send what was gathered. Raises TimeoutError when the client takes the answer too slowly."""
        parts, self._parts = [memoryview(part) for part in self._parts if part], []
        self._patience += sum(map(len, parts)) / SLOWEST_BYTES
        while parts:
            sent = self._taken(parts)
            while parts and sent >= len(parts[0]):
                sent -= len(parts.pop(0))
            if parts:
                parts[0] = parts[0][sent:]

    def _taken_of_file(self, file: int, offset: int, most: int) -> int:
        """Send as much of a file as the client takes; return how many bytes. Only the waiting for it counts."""
        try:
            return os.sendfile(self.sock.fileno(), file, offset, most)
        except BlockingIOError:
            began = time.monotonic()
        taker = select.poll()
        taker.register(self.sock.fileno(), select.POLLOUT)
        if not taker.poll(max(min(self._patience, SEND_SECONDS), MOMENT_SECONDS) * 1000):
            raise TimeoutError(NOT_TAKEN)
        self._patience -= time.monotonic() - began
        if self._patience <= 0:
            raise TimeoutError(NOT_TAKEN)
        return os.sendfile(self.sock.fileno(), file, offset, most)

    def _taken(self, parts: list[memoryview]) -> int:
        """Send as much as the client takes; return how many bytes. Only the waiting for it counts."""
        began = time.monotonic()
        self.sock.settimeout(max(min(self._patience, SEND_SECONDS), MOMENT_SECONDS))
        try:
            sent = int(self.sock.sendmsg(parts))
        except TimeoutError:
            raise TimeoutError(NOT_TAKEN) from None
        finally:
            self.sock.settimeout(SEND_SECONDS)
        self._patience -= time.monotonic() - began
        if self._patience <= 0:
            raise TimeoutError(NOT_TAKEN)
        return sent
