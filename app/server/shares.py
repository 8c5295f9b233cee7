"""Whose turn it is for a thread: each project, and who signs in, has a share of them, and waits without one beyond it.

A request is known by its first line alone here. What waits does so in the order of who had least, and not for ever.
"""

from __future__ import annotations

import re
import time
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, TypeVar
from urllib.parse import unquote

C = TypeVar("C")
Kind = Literal["project", "sign-in", "other"]
Admission = Literal["now", "waits", "full"]
# As long as a request waits for a connection of its project's pool.
WAIT_SECONDS = 10.0
_PROJECT = re.compile(r"/+(?:project|db|auth|storage)/+(proj_[0-9a-f]{16})(?:/|$)")
# Each costs a password's hash, or may.
_SIGN_INS = frozenset({"/api/auth/login", "/api/auth/register", "/api/auth/password", "/api/auth/password/reset"})
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/]*", re.IGNORECASE)


class Lane(NamedTuple):
    """What shares a share: a project's requests, one client's sign-ins, or else the bodies that one client sends."""

    kind: Kind
    key: str = ""


@dataclass(frozen=True)
class Share:
    """How many threads: each lane's, and all lanes' of a kind; and how many requests may wait for them."""

    each: int
    together: int
    waiting_each: int
    waiting_together: int


def lane_of(path: str, address: str) -> Lane:
    """Return the lane of a request for this path, as it was sent."""
    plain = unquote(_ORIGIN.sub("", path, count=1))
    if found := _PROJECT.match(plain):
        return Lane("project", found[1])
    return Lane("sign-in" if plain in _SIGN_INS else "other", address)


class Shares(Generic[C]):
    """Which connections' requests have a thread, and which wait for one. Used by the poller's thread alone.

    alone  all requests are for one project, which shares with nobody
    """

    def __init__(self, threads: int, *, alone: bool = False) -> None:
        few = max(1, threads // 16)
        self._of: dict[Kind, Share] = (
            {}
            if alone
            else {
                "project": Share(max(1, threads // 5), max(1, threads * 2 // 5), 128, 512),
                "sign-in": Share(max(1, few // 2), few, 16, 64),
            }
        )
        # A body that is read by a thread holds it for as long as its client likes to take.
        self._streams = max(1, threads // (2 if alone else 4))
        self._streams_each = self._streams if alone else max(1, threads // 8)
        self._busy: dict[C, tuple[Lane, bool]] = {}
        self._threads: Counter[Lane | Kind] = Counter()
        self._streaming: Counter[Lane | None] = Counter()
        # Who sends nothing but a body that never comes holds up bodies alone.
        self._waiting: OrderedDict[tuple[Lane, bool], deque[tuple[C, float]]] = OrderedDict()

    def admit(self, conn: C, lane: Lane, *, streamed: bool) -> Admission:
        """Return whether a request gets a thread now; if not, remember it, or not even that.

        streamed  its body is read by the thread
        """
        queue = (lane, streamed)
        if queue not in self._waiting and self._has_room(lane, streamed=streamed):
            self._take(conn, lane, streamed=streamed)
            return "now"
        share = self._of.get(lane.kind)
        if share is not None:
            together = sum(len(entries) for (other, _), entries in self._waiting.items() if other.kind == lane.kind)
            if len(self._waiting.get(queue, ())) >= share.waiting_each or together >= share.waiting_together:
                return "full"
        self._waiting.setdefault(queue, deque()).append((conn, time.monotonic() + WAIT_SECONDS))
        return "waits"

    def release(self, conn: C) -> list[C]:
        """Free the thread of a connection; return those whose turn it is now."""
        lane, streamed = self._busy.pop(conn)
        self._threads -= Counter[Lane | Kind]((lane, lane.kind))
        if streamed:
            self._streaming -= Counter[Lane | None]((lane, None))
        return self._called()

    def overdue(self) -> list[tuple[C, Kind]]:
        """Return who has waited for too long, and forget them. What is in no lane waits as long as it takes."""
        now, late = time.monotonic(), []
        for (lane, streamed), entries in list(self._waiting.items()):
            while entries and entries[0][1] <= now and lane.kind in self._of:
                late.append((entries.popleft()[0], lane.kind))
            if not entries:
                del self._waiting[lane, streamed]
        return late

    def _called(self) -> list[C]:
        """Return the next of each lane that has room, the lane that had the last turn behind all others."""
        called = []
        progress = True
        while progress:
            progress = False
            for queue, entries in list(self._waiting.items()):
                lane, streamed = queue
                if not self._has_room(lane, streamed=streamed):
                    continue
                conn, _ = entries.popleft()
                self._waiting.move_to_end(queue)
                if not entries:
                    del self._waiting[queue]
                self._take(conn, lane, streamed=streamed)
                called.append(conn)
                progress = True
        return called

    def _has_room(self, lane: Lane, *, streamed: bool) -> bool:
        share = self._of.get(lane.kind)
        if share and (self._threads[lane] >= share.each or self._threads[lane.kind] >= share.together):
            return False
        return not streamed or (self._streaming[lane] < self._streams_each and self._streaming[None] < self._streams)

    def _take(self, conn: C, lane: Lane, *, streamed: bool) -> None:
        self._busy[conn] = (lane, streamed)
        self._threads.update((lane, lane.kind))
        if streamed:
            self._streaming.update((lane, None))
