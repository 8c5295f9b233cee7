"""The gunicorn worker: threads are for whole requests, and what it refuses itself is a problem document as well."""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from gunicorn import util
from gunicorn.http import errors, wsgi
from gunicorn.workers.gthread import ThreadWorker

from app.server import refusals
from app.server.arrival import GATHER_SECONDS, LEAVE_SECONDS, Arriving
from app.server.response import OneWrite
from app.server.shares import Shares, account_of, lane_of
from config.limits import FIELD_BYTES_MAX
from infra import exhaustion

if TYPE_CHECKING:
    from concurrent.futures import Future

    from app.server.refusals import Refusal

log = logging.getLogger(__name__)

# A stopping worker waits no longer for a request that has not come.
STOPPING_SECONDS = 1.0
# Who has heard that the server is there sends their request now. So long it still listens, and says that no more.
HANDOVER_SECONDS = 0.5
# Longer than clients keep a connection that rests, five seconds to a minute: a request that is sent into one that is
# just being closed is lost, and whoever sent a write does not know whether it was done.
KEEPALIVE_SECONDS = 75
ASKED_FIRST = ("/health", "/api/health")
# The first that fits counts. What an application answers may be no good HTTP either: that is nothing of the client's.
_REFUSED: tuple[tuple[type[Exception], Refusal], ...] = (
    (errors.InvalidResponseHeader, refusals.BROKEN),
    (errors.InvalidResponseHeaderName, refusals.BROKEN),
    (errors.LimitRequestLine, refusals.URL_TOO_LONG),
    (errors.LimitRequestHeaders, refusals.HEAD_TOO_LARGE),
    (errors.UnsupportedTransferCoding, refusals.CODING_UNKNOWN),
    (errors.ExpectationFailed, refusals.EXPECTATION_FAILED),
    (errors.ParseException, refusals.NO_HTTP),
)
_REFUSED_ON_ARRIVAL = {"long": refusals.URL_TOO_LONG, "too large": refusals.HEAD_TOO_LARGE}


class ProblemWorker(ThreadWorker):  # type: ignore[misc]
    """gthread, but connections wait with the poller until their request is whole, and leave without blocking it.

    Each project has a share of the threads, and so has who signs in; requests with large or streamed bodies are read by
    threads, of which they get a quarter at a time. What is refused before an application is asked is said in the words
    of whom it was for.
    """

    projects_alone = False  # nobody asks here but clients of one project, who share with nobody
    trusted_proxies = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # gunicorn knows no longer line than 8,190 bytes, or one without an end: ours ends where it arrives.
        self.cfg.set("limit_request_line", 0)
        self.cfg.set("limit_request_field_size", FIELD_BYTES_MAX)
        self._arriving: dict[Arriving, float] = {}  # until when; in that order
        self._leaving: dict[Arriving, float] = {}
        self._shares: Shares[Arriving] = Shares(self.cfg.threads, alone=self.projects_alone)
        self._handing_over = False
        self._handled = threading.local()

    def run(self) -> None:
        """Serve. A server that gets no thread for a request ends at once, and another one is started in its place."""
        with exhaustion.end_process_on_shortage("the server cannot go on"):
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
        if self.open_connections() == 0:
            self._stop_listening()
            return
        timer = threading.Timer(HANDOVER_SECONDS, self.method_queue.defer, (self._stop_listening,))
        timer.daemon = True
        timer.start()

    def open_connections(self) -> int:
        """Return how many connections somebody may have a request on."""
        return int(self.nr_conns)

    def _stop_listening(self) -> None:
        """Take in who has been let in by the kernel already, and refuse all others: they would wait in vain."""
        self.set_accept_enabled(False)
        for listener in self.sockets:
            while self.accept(listener):
                continue
            listener.close()
        self.alive = False

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Answer a request; drop the question whether we are there, which is asked again until somebody is.

        This is gunicorn's, with another response and without what none of our servers uses of it: limits of requests
        and hooks.
        """
        if self._handing_over and req.path in ASKED_FIRST:
            return False
        response, environ = wsgi.create(req, conn.sock, conn.client, conn.server, self.cfg, response_class=OneWrite)
        environ["wsgi.multithread"] = True
        if not self.alive or not self.cfg.keepalive or len(self.keepalived_conns) >= self.max_keepalived:
            response.force_close()
        try:
            self._answer(response, environ)
        except OSError:
            raise
        except (Exception, SystemExit) as error:
            if not response.headers_sent:
                raise
            # The answer has begun: whoever gets it notices that its end is missing.
            self.log.exception("Error handling request")
            util.close_graceful(conn.sock)
            raise StopIteration from error
        return not response.should_close()

    def _answer(self, response: OneWrite, environ: dict[str, Any]) -> None:
        parts = self.wsgi(environ, response.start_response)
        try:
            if isinstance(parts, environ["wsgi.file_wrapper"]):
                response.write_file(parts)
            else:
                for part in parts:
                    response.write(part)
            response.close()
        finally:
            if hasattr(parts, "close"):
                parts.close()

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
        if client.family in (socket.AF_INET, socket.AF_INET6):
            # The second part of an answer waits for nobody's acknowledgement of the first.
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.nr_conns += 1
        if self.nr_conns >= self.worker_connections:
            self._make_room()
        self.enqueue_req(Arriving(self.cfg, client, address, listener.getsockname()))
        return True

    def enqueue_req(self, conn: Arriving) -> None:
        """Gather the next request; hand it to a thread once it is there."""
        conn.begin()
        self.expect_request(conn)

    def expect_request(self, conn: Arriving) -> None:
        """Hand a request over to a thread once it is there."""
        if not self._dispatched(conn):
            self._arriving[conn] = conn.began + GATHER_SECONDS
            self.poller.register(conn.sock, selectors.EVENT_READ, lambda _sock: self._dispatched(conn))

    def finish_request(self, conn: Arriving, fs: Future[Any]) -> None:
        """Hand over whose turn it is now; begin again, or close the connection."""
        for called in self._shares.release(conn):
            super().enqueue_req(called)
        if fs.cancelled() or fs.exception() is not None or not fs.result():
            self._leave(conn)
            return
        super().finish_request(conn, fs)

    def murder_keepalived(self, force: bool = False) -> None:
        """Close the connections that have rested for long enough, or all; what has just arrived on one is answered."""
        now = time.monotonic()
        while self.keepalived_conns and (force or self.keepalived_conns[0].timeout <= now):
            conn = self.keepalived_conns[0]
            if not force and conn.has_arrivals():
                self.on_client_socket_readable(conn, conn.sock)
            else:
                self._end_rest(conn)

    def _make_room(self) -> None:
        """End a connection, as there are too many: one that rests, of whom most do, or else the slowest to ask."""
        if self.keepalived_conns:
            resting = Counter(conn.peer for conn in self.keepalived_conns)
            self._end_rest(max(self.keepalived_conns, key=lambda conn: resting[conn.peer]))
        elif self._arriving:
            self._turn_away(next(iter(self._arriving)), refusals.FULL)

    def _end_rest(self, conn: Arriving) -> None:
        self.keepalived_conns.remove(conn)
        self.poller.unregister(conn.sock)
        self.close_connection(conn)

    def murder_pending(self) -> None:
        """Refuse the requests that did not arrive in time; close on the clients that do not."""
        now = time.monotonic()
        latest = now if self.alive else now + GATHER_SECONDS - STOPPING_SECONDS
        for conn in [conn for conn, until in self._arriving.items() if until <= latest]:
            self._turn_away(conn, refusals.NOT_IN_TIME)
        for conn, kind in self._shares.overdue():
            self._turn_away(conn, refusals.BUSY[kind])
        for conn in [conn for conn, until in self._leaving.items() if until <= now]:
            self.close_connection(self._forgotten(self._leaving, conn))

    def _dispatched(self, conn: Arriving) -> bool:
        state = conn.gather()
        if state == "partial":
            return False
        self._forgotten(self._arriving, conn)
        if state in ("whole", "streamed"):
            self.admit(conn, streamed=state == "streamed")
        else:
            if state in _REFUSED_ON_ARRIVAL:
                conn.send(self._refused(_REFUSED_ON_ARRIVAL[state], conn))
            self._leave(conn)
        return True

    def _turn_away(self, conn: Arriving, why: Refusal) -> None:
        self._forgotten(self._arriving, conn)
        if conn.arrived:
            conn.send(self._refused(why, conn))
        self._leave(conn)

    def _refused(self, why: Refusal, conn: Arriving) -> bytes:
        address = (conn.client or ("",))[0]
        log.info("request refused", extra={"status": why.status, "error": why.kind, "address": address})
        return refusals.answer(why, conn.asked, projects_alone=self.projects_alone)

    def admit(self, conn: Arriving, *, streamed: bool) -> None:
        """Give a request a thread, or a place among those that wait for one, or refuse it."""
        lane = lane_of(conn.asked.path, conn.client_address(self.trusted_proxies))
        admission = self._shares.admit(conn, lane, streamed=streamed, account=account_of(lane, conn.arrived))
        if admission == "now":
            super().enqueue_req(conn)
        elif admission == "full":
            log.info("share used up", extra={"share": lane.kind, "whose": lane.key})
            self._turn_away(conn, refusals.BUSY[lane.kind])

    def _leave(self, conn: Arriving) -> None:
        if conn.leave():
            self.close_connection(conn)
            return
        self._leaving[conn] = time.monotonic() + LEAVE_SECONDS
        self.poller.register(conn.sock, selectors.EVENT_READ, lambda _sock: self._drain(conn))

    def _drain(self, conn: Arriving) -> None:
        if conn.leave():
            self.close_connection(self._forgotten(self._leaving, conn))

    def close_connection(self, conn: Arriving) -> None:
        """End a connection."""
        self.nr_conns -= 1
        conn.close()

    def _forgotten(self, place: dict[Arriving, float], conn: Arriving) -> Arriving:
        if place.pop(conn, None) is not None:
            self.poller.unregister(conn.sock)
        return conn

    def handle(self, conn: Arriving) -> Any:
        """Answer what has arrived, and know whose it was should it make no sense."""
        self._handled.conn = conn
        return super().handle(conn)

    def handle_error(self, _req: Any, client: Any, _addr: Any, exc: Exception) -> None:
        """Answer a request that could not be read, or whose answer could not be sent."""
        refusal = next((refusal for known, refusal in _REFUSED if isinstance(exc, known)), refusals.BROKEN)
        if refusal is refusals.BROKEN:
            log.error("request failed", exc_info=exc)
        try:
            util.write_nonblock(client, self._refused(refusal, self._handled.conn))
        except OSError:
            log.debug("the client has gone")
