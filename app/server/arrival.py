"""How requests arrive: gathered without a thread until they are whole, so that slow clients hold up nobody."""

from __future__ import annotations

import re
import socket
import time
from contextlib import suppress
from typing import Any, Literal

from gunicorn.workers.gthread import TConn

from app.server.clients import client_address
from app.server.refusals import Asked
from config.limits import HEAD_BYTES_MAX, TARGET_BYTES_MAX

# From the first byte to the last of what is gathered; a client on any line that works needs far less.
GATHER_SECONDS = 10.0
# A larger body is read by the thread that wants it, in so many seconds.
GATHERED_BODY_BYTES = 65_536
BODY_SECONDS = 30.0
# A file takes as long as its client's line does, but not longer than so many bytes a second let it.
SLOWEST_FILE_BYTES, FILE_PART_BYTES = 8192, 262_144
_FILES = re.compile(r"/+(?:storage/|project/+[^/]+/+storage/)")
# `DELETE `, the target, ` HTTP/1.1`. Preflights may be longer: who asks for too long a URL is to be told.
LINE_BYTES_MAX = TARGET_BYTES_MAX + 16
_PREFLIGHT = b"OPTIONS "
SEND_SECONDS = 30.0
LEAVE_SECONDS = 2.0
_READ_BYTES = 65_536
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*\r\n", re.IGNORECASE)
_FORWARDED = re.compile(rb"\r\nx-forwarded-for:[ \t]*([^\r\n]*)(?=\r\n)", re.IGNORECASE)
# These bodies have no known end, or are not sent before an answer.
_STREAMED = re.compile(rb"\r\n(?:transfer-encoding|expect):", re.IGNORECASE)

State = Literal["partial", "whole", "streamed", "long", "too large", "gone"]


class Arriving(TConn):  # type: ignore[misc]
    """A connection with what has been read of its next request."""

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, sock, client, server)
        self.arrived = bytearray()
        self.began = 0.0
        self.streams = False
        self.was_handed_over = False  # by a sibling, with its request
        self._asked = Asked()
        self.data_ready = True  # nothing is handed over before

    def begin(self, arrived: bytes = b"") -> None:
        """Expect a request; bytes that came with the one before belong to it.

        arrived  what has come of it elsewhere
        """
        self.sock.setblocking(False)
        self.arrived = bytearray(self.parser.unreader.take_buffered() if self.parser is not None else arrived)
        self.began = time.monotonic()
        self.streams = self.was_handed_over = False

    def gather(self) -> State:
        """Take what is there; say how far the request has come."""
        state = self._state()
        while state == "partial":
            try:
                found = self.sock.recv(_READ_BYTES)
            except (BlockingIOError, InterruptedError):
                return state
            except OSError:
                return "gone"
            if not found:
                return "whole" if self.arrived else "gone"
            self.arrived += found
            state = self._state()
        self.streams = state == "streamed"
        return state

    @property
    def asked(self) -> Asked:
        """Return what is asked for, as far as it has come."""
        return Asked.of(self.arrived) if self.arrived else self._asked

    def client_address(self, trusted_proxies: str) -> str:
        """Return where the request that has arrived comes from."""
        head = bytes(self.arrived).partition(b"\r\n\r\n")[0] + b"\r\n"
        forwarded = b",".join(_FORWARDED.findall(head)).decode("latin-1") if trusted_proxies else ""
        return client_address(self.peer, forwarded, trusted_proxies)

    @property
    def peer(self) -> str:
        """Return the address of who has connected; nothing for a socket of this machine."""
        return str(self.client[0]) if isinstance(self.client, tuple) else ""

    def has_arrivals(self) -> bool:
        """Return whether something has come that was not read yet."""
        try:
            return bool(self.sock.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def init(self) -> None:
        """Start the parser on what was gathered; called in the thread that answers."""
        super().init()
        self.sock.settimeout(SEND_SECONDS)
        reader = self.parser.unreader
        self._asked = Asked.of(self.arrived)
        is_file = _FILES.match(self._asked.path) is not None
        slowest = SLOWEST_FILE_BYTES if is_file else None
        if is_file:
            reader.mxchunk = FILE_PART_BYTES
        reader.sock = _Deadlined(self.sock, time.monotonic() + BODY_SECONDS, slowest)
        reader.unread(bytes(self.arrived))
        self.arrived.clear()

    def leave(self) -> bool:
        """Shut down sending, and drop what still comes; True once the client has left, too.

        A connection that is closed over unread bytes is reset, and the client may lose its answer.
        """
        try:
            if self.began:
                self.began = 0.0
                self.sock.setblocking(False)
                self.sock.shutdown(socket.SHUT_WR)
            return not self.sock.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True

    def send(self, answer: bytes) -> None:
        """Send an answer as far as it goes without waiting."""
        with suppress(OSError):
            self.sock.send(answer)

    def _state(self) -> State:
        # One empty line may come before the request.
        line = self.arrived.find(b"\r\n", 2)
        if max(line, len(self.arrived) if line < 0 else 0) > LINE_BYTES_MAX and not self.arrived.startswith(_PREFLIGHT):
            return "long"
        end = self.arrived.find(b"\r\n\r\n")
        if (len(self.arrived) if end < 0 else end) > HEAD_BYTES_MAX:
            return "too large"
        if end < 0:
            return "partial"
        # Only a hint of when to hand over: what the headers mean is the parser's to say.
        head = bytes(self.arrived[: end + 2])
        found = _LENGTH.search(head)
        length = int(found[1]) if found else 0
        if _STREAMED.search(head) or length > GATHERED_BODY_BYTES:
            return "streamed"
        return "whole" if len(self.arrived) >= end + 4 + length else "partial"


class _Deadlined:
    """A socket that is read until a moment and not longer, however slowly the bytes come.

    slowest  so many bytes put the moment off by a second; None: nothing does
    """

    def __init__(self, sock: socket.socket, until: float, slowest: int | None = None) -> None:
        self._sock, self._until, self._slowest = sock, until, slowest

    def recv(self, size: int) -> bytes:
        """Read; raises TimeoutError."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request did not arrive in time")
        self._sock.settimeout(left)
        try:
            found = self._sock.recv(size)
        finally:
            self._sock.settimeout(SEND_SECONDS)
        if self._slowest is not None:
            self._until += len(found) / self._slowest
        return found
