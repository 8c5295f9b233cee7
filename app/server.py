"""The gunicorn worker: threads are for whole requests, and what it refuses itself is a problem document as well."""

from __future__ import annotations

import json
import logging
import selectors
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import uuid_utils
from gunicorn import util
from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

from app.arrival import GATHER_SECONDS, LEAVE_SECONDS, Arriving
from app.problem import MEDIA_TYPE, Problem, document
from infra import exhaustion

if TYPE_CHECKING:
    import socket
    from concurrent.futures import Future

log = logging.getLogger(__name__)

# A stopping worker waits no longer for a request that has not come.
STOPPING_SECONDS = 1.0
# Who has heard that the server is there sends his request now. So long it still listens, and says that no more.
HANDOVER_SECONDS = 0.5
ASKED_FIRST = ("/health", "/api/health")
# The first that fits counts.
_REFUSED: tuple[tuple[type[Exception], int, str], ...] = (
    (errors.LimitRequestLine, 414, "the request line is too long"),
    (errors.LimitRequestHeaders, 431, "there are too many headers, or one is too long"),
    (errors.UnsupportedTransferCoding, 501, "this transfer coding is not known"),
    (errors.ExpectationFailed, 417, "this expectation cannot be met"),
    (errors.ParseException, 400, "the request is not HTTP as it should be"),
)
_REASONS = {
    400: "Bad Request",
    408: "Request Timeout",
    414: "URI Too Long",
    417: "Expectation Failed",
    431: "Header Fields Too Large",
}


class ProblemWorker(ThreadWorker):  # type: ignore[misc]
    """gthread, but connections wait with the poller until their request is whole, and leave without blocking it.

    Requests with large or streamed bodies are read by threads, of which they get half at a time.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._arriving: dict[Arriving, float] = {}  # until when; in that order
        self._leaving: dict[Arriving, float] = {}
        self._streams: deque[Arriving] = deque()
        self._streaming: set[Arriving] = set()
        self._handing_over = False

    def run(self) -> None:
        """Serve. A server that gets no thread for a request ends at once, and another one is started in its place."""
        with exhaustion.ending("the server cannot go on"):
            super().run()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin to stop: after a moment in which nobody is promised anything, and what was promised is kept."""
        if self._handing_over:
            super().handle_exit(sig, frame)
        else:
            self._handing_over = True
            self.method_queue.defer(self.hand_over)

    def hand_over(self) -> None:
        """Listen for a moment more where somebody is; then no more."""
        if self.nr_conns == 0:
            self._stop_listening()
            return
        timer = threading.Timer(HANDOVER_SECONDS, self.method_queue.defer, (self._stop_listening,))
        timer.daemon = True
        timer.start()

    def _stop_listening(self) -> None:
        """Take in who has been let in by the kernel already, and refuse all others: they would wait in vain."""
        self.set_accept_enabled(False)
        for listener in self.sockets:
            while self.accept(listener):
                continue
            listener.close()
        self.alive = False

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Answer a request; drop the question whether we are there, which is asked again until somebody is."""
        if self._handing_over and req.path in ASKED_FIRST:
            return False
        return super().handle_request(req, conn)

    def accept(self, listener: socket.socket) -> bool:
        """Accept a connection, and wait for its request without a thread; say whether there was one to accept."""
        if listener.fileno() < 0:  # closed since it was found ready
            return False
        try:
            client, address = listener.accept()
        except BlockingIOError:
            return False
        except ConnectionAbortedError:
            return True
        self.nr_conns += 1
        if self.nr_conns >= self.worker_connections and self._arriving:
            self._leave(self._forgotten(self._arriving, next(iter(self._arriving))))
        self.enqueue_req(Arriving(self.cfg, client, address, listener.getsockname()))
        return True

    def enqueue_req(self, conn: Arriving) -> None:
        """Gather the next request; hand it to a thread once it is there."""
        conn.begin()
        if not self._dispatched(conn):
            self._arriving[conn] = conn.began + GATHER_SECONDS
            self.poller.register(conn.sock, selectors.EVENT_READ, lambda _sock: self._dispatched(conn))

    def finish_request(self, conn: Arriving, fs: Future[Any]) -> None:
        """Let the next large body in; begin again, or let the connection leave."""
        if conn in self._streaming:
            self._streaming.remove(conn)
            if self._streams:
                self._stream(self._streams.popleft())
        if fs.cancelled() or fs.exception() is not None or not fs.result():
            self._leave(conn)
            return
        super().finish_request(conn, fs)

    def murder_pending(self) -> None:
        """Refuse the requests that did not arrive in time; close on the clients that do not."""
        now = time.monotonic()
        latest = now if self.alive else now + GATHER_SECONDS - STOPPING_SECONDS
        for conn in [conn for conn, until in self._arriving.items() if until <= latest]:
            self._forgotten(self._arriving, conn)
            if conn.arrived:
                conn.send(_answer(408, "the request did not arrive in time"))
            self._leave(conn)
        for conn in [conn for conn, until in self._leaving.items() if until <= now]:
            self._close(self._forgotten(self._leaving, conn))

    def _dispatched(self, conn: Arriving) -> bool:
        state = conn.gather()
        if state == "partial":
            return False
        self._forgotten(self._arriving, conn)
        if state == "whole":
            super().enqueue_req(conn)
        elif state == "streamed" and len(self._streaming) < max(1, self.cfg.threads // 2):
            self._stream(conn)
        elif state == "streamed":
            self._streams.append(conn)
        else:
            if state == "too large":
                conn.send(_answer(431, "there are too many headers, or one is too long"))
            self._leave(conn)
        return True

    def _stream(self, conn: Arriving) -> None:
        self._streaming.add(conn)
        super().enqueue_req(conn)

    def _leave(self, conn: Arriving) -> None:
        if conn.leave():
            self._close(conn)
            return
        self._leaving[conn] = time.monotonic() + LEAVE_SECONDS
        self.poller.register(conn.sock, selectors.EVENT_READ, lambda _sock: self._drain(conn))

    def _drain(self, conn: Arriving) -> None:
        if conn.leave():
            self._close(self._forgotten(self._leaving, conn))

    def _close(self, conn: Arriving) -> None:
        self.nr_conns -= 1
        conn.close()

    def _forgotten(self, place: dict[Arriving, float], conn: Arriving) -> Arriving:
        if place.pop(conn, None) is not None:
            self.poller.unregister(conn.sock)
        return conn

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer a request that could not be read; anything else is gunicorn's own business."""
        found = next(((status, detail) for known, status, detail in _REFUSED if isinstance(exc, known)), None)
        if found is None:
            super().handle_error(req, client, addr, exc)
            return
        status, detail = found
        log.info(
            "request refused", extra={"status": status, "address": (addr or ("",))[0], "error": type(exc).__name__}
        )
        try:
            util.write_nonblock(client, _answer(status, detail))
        except OSError:
            log.debug("the client has gone")


def _answer(status: int, detail: str) -> bytes:
    request_id = uuid_utils.uuid7().hex
    reason = _REASONS.get(status, "Not Implemented")
    problem = Problem(status, reason.lower().replace(" ", "-"), detail)
    body = json.dumps(document(problem, instance="", request_id=request_id)).encode()
    head = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: {MEDIA_TYPE}\r\n"
        f"X-Request-Id: {request_id}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("latin-1") + body
