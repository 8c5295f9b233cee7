"""A server of several processes that listen on one socket: all serve projects' data, one of them the rest as well."""

from __future__ import annotations

import json
import re
import selectors
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

from app.server import refusals
from app.server.arrival import Arriving
from app.server.server import ProblemWorker
from app.server.shares import Shares
from app.server.siblings import LEADER

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from app.server.siblings import Siblings

TELL_SECONDS = 1.0
_CONNECTION, _FIGURES = b"c", b"f"
_DATA = re.compile(
    r"(?:[a-z][a-z0-9+.-]*://[^/]*)?/(?:db/(proj_[0-9a-f]{16})|project/(proj_[0-9a-f]{16})/rest/v1)(?:/|$)"
)


def data_project(path: str) -> str | None:
    """Return whose data API a request for this path is for, as it was sent; None: it is for none."""
    found = _DATA.match(unquote(path) if "%" in path else path)
    return (found[1] or found[2]) if found else None


class Figures(Protocol):
    """What a process counts."""

    def take(self) -> Any:
        """Return what was counted since the last time, as JSON can hold it, or nothing."""

    def hear(self, slot: int, told: Any) -> None:
        """Add what the process of that number has taken."""


class SharedWorker(ProblemWorker):
    """One of the processes of a server.

    Whoever accepts a connection looks at each request of it. One for a project's data is served here, unless a sibling
    has less to do; every other one by the leader. The connection goes there with what has come of the request, and
    stays until another request belongs elsewhere. A sibling that has just ended finds its connections in its inbox when
    it is there again.
    """

    slot = LEADER
    threads = 0

    def join(self, siblings: Siblings, slot: int, threads: int) -> None:
        """Become one of the siblings; before the process is forked."""
        self._siblings, self.slot, self.threads = siblings, slot, threads
        self._shares = Shares(threads)
        self._data: set[Arriving] = set()
        self._tell_at = 0.0
        # How many connections of a project's pool there are, in which processes.
        self.places: Callable[[str], Sequence[int]] = lambda _project_id: range(siblings.count)
        # What a sibling has counted, for the leader to add.
        self.figures: Figures | None = None

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """Return the threads that answer."""
        return ThreadPoolExecutor(max_workers=self.threads)

    def run(self) -> None:
        """Serve until told to stop."""
        self._address = self.sockets[0].getsockname()
        self.poller.register(self._siblings.inbox(self.slot), selectors.EVENT_READ, self._receive)
        self._siblings.note(self.slot, 0, 0)
        try:
            super().run()
        finally:
            self._siblings.leave(self.slot)
            while (taken := self._siblings.take(self.slot)) is not None:
                if taken[1] is not None:
                    taken[1].close()

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Do what there is to do; let the siblings know what there is here then."""
        super().wait_for_and_dispatch_events(timeout)
        self._siblings.note(self.slot, len(self._data), self.nr_conns)

    def murder_pending(self) -> None:
        """Tell the leader once a second, too, what it cannot see."""
        super().murder_pending()
        if self.slot == LEADER or self.figures is None or time.monotonic() < self._tell_at:
            return
        self._tell_at = time.monotonic() + TELL_SECONDS
        told = self.figures.take()
        message = _FIGURES + json.dumps([self.slot, told]).encode()
        if told and not self._siblings.hand_over(self.slot, LEADER, message):
            self.figures.hear(self.slot, told)  # for the next time

    def open_connections(self) -> int:
        """Return how many connections somebody may have a request on."""
        return max(super().open_connections(), self._siblings.connections())

    def admit(self, conn: Arriving, *, streamed: bool) -> None:
        """Give a request a thread, here or elsewhere."""
        place = self._place_of(conn)
        if place == self.slot:
            super().admit(conn, streamed=streamed)
        elif not self._hand_over(conn, place):
            self._turn_away(conn, refusals.AWAY)

    def close_connection(self, conn: Arriving) -> None:
        """End a connection."""
        self._data.discard(conn)
        super().close_connection(conn)

    def _place_of(self, conn: Arriving) -> int:
        if self._siblings.count == 1:
            return self.slot
        project_id = data_project(conn.asked.path)
        if project_id is None:
            self._data.discard(conn)
            return LEADER
        self._data.add(conn)
        if conn.was_handed_over or not self.alive:
            return self.slot
        return self._siblings.least(self.places(project_id), self.slot, len(self._data))

    def _hand_over(self, conn: Arriving, to: int) -> bool:
        if not self.alive and self._siblings.is_away(to):
            return False  # it will not come back
        client = list(conn.client) if isinstance(conn.client, tuple) else ""
        message = b"".join((_CONNECTION, json.dumps(client).encode(), b"\n", conn.arrived))
        if not self._siblings.hand_over(self.slot, to, message, conn.sock.fileno()):
            return False
        self.close_connection(conn)  # here: it is open there
        return True

    def _receive(self, _inbox: socket.socket) -> None:
        while (taken := self._siblings.take(self.slot)) is not None:
            message, sock = taken
            if sock is None:
                if self.figures is not None:
                    self.figures.hear(*json.loads(message[1:]))
                continue
            client, _, arrived = message[1:].partition(b"\n")
            address = json.loads(client)
            conn = Arriving(self.cfg, sock, tuple(address) if address else "", self._address)
            conn.begin(arrived)
            conn.was_handed_over = True
            self.nr_conns += 1
            self.expect_request(conn)
