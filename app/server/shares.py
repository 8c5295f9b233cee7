"""Whose turn it is for a thread: each project, and who signs in, has a share of them, and waits without one beyond it.

A request is known by its first line alone here. What waits does so in the order of who had least, and not for ever.
"""

from __future__ import annotations

import re
import time
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
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


# Of a body that has come with its head: whose account is signed in to, as it is looked up later.
_ACCOUNT = re.compile(rb'"email"\s*:\s*"([^"]{1,320})"')
# So many of those who were refused last are remembered.
REMEMBERED = 100


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


def account_of(lane: Lane, arrived: bytes | bytearray) -> str:
    """Return which account a sign-in is for, as far as the request has come; nothing for other requests."""
    found = _ACCOUNT.search(arrived) if lane.kind == "sign-in" else None
    return found[1].decode("utf-8", "replace").strip().lower() if found else ""


@dataclass
class Figures:
    """What shares are like at the moment, for those who look from another thread.

    limits   threads that all lanes of a kind have together; used: those that they have now
    waiting  requests that have none yet
    refused  requests that were, by kind
    last     who was refused last, by lane: how often, and when by the clock
    others   limits, used and waiting of the server's other processes, by their numbers
    """

    limits: dict[Kind, int] = field(default_factory=dict)
    used: Counter[Kind] = field(default_factory=Counter)
    waiting: Counter[Kind] = field(default_factory=Counter)
    refused: Counter[Kind] = field(default_factory=Counter)
    last: OrderedDict[Lane, tuple[int, float]] = field(default_factory=OrderedDict)
    others: dict[int, list[dict[Kind, int]]] = field(default_factory=dict)

    def refuse(self, lane: Lane, times: int = 1, at: float | None = None) -> None:
        """Count requests that were refused. at: when, if not now."""
        self.refused[lane.kind] += times
        count, _ = self.last.pop(lane, (0, 0.0))
        self.last[lane] = (count + times, time.time() if at is None else at)
        while len(self.last) > REMEMBERED:
            self.last.popitem(last=False)

    def take_refused(self) -> list[tuple[Kind, str, int, float]]:
        """Return who was refused, how often and when, and forget it: for another process to count."""
        taken = [(*lane, *said) for lane, said in self.last.items()]
        self.last.clear()
        self.refused.clear()
        return taken

    def threads(self) -> list[tuple[Kind, int, int, int]]:
        """Return of each kind how many threads it may have in all processes, has, and how many requests wait."""
        all_of = [[self.limits, self.used, self.waiting], *list(self.others.values())]

        def total(kind: Kind, place: int) -> int:
            return sum(each[place].get(kind, 0) for each in all_of)

        return [(kind, total(kind, 0), total(kind, 1), total(kind, 2)) for kind in self.limits]


# Of the server of this process; there is one.
FIGURES = Figures()


@dataclass(frozen=True)
class _Entry(Generic[C]):
    conn: C
    until: float
    account: str


class Shares(Generic[C]):
    """Which connections' requests have a thread, and which wait for one. Used by the poller's thread alone.

    alone  all requests are for one project, which shares with nobody

    Sign-ins have their share by client and by account: whoever has many addresses tries many passwords of one account.
    """

    def __init__(self, threads: int, *, alone: bool = False, figures: Figures = FIGURES) -> None:
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
        self._busy: dict[C, tuple[Lane, bool, str]] = {}
        self._threads: Counter[Lane | Kind] = Counter()
        self._streaming: Counter[Lane | None] = Counter()
        # Who sends nothing but a body that never comes holds up bodies alone.
        self._waiting: OrderedDict[tuple[Lane, bool], deque[_Entry[C]]] = OrderedDict()
        self._accounts: Counter[str] = Counter()  # threads
        self._waiting_accounts: Counter[str] = Counter()
        self._figures = figures
        figures.limits.update({kind: share.together for kind, share in self._of.items()})

    def admit(self, conn: C, lane: Lane, *, streamed: bool, account: str = "") -> Admission:
        """Return whether a request gets a thread now; if not, remember it, or not even that.

        streamed  its body is read by the thread
        account   which one is signed in to
        """
        queue = (lane, streamed)
        if queue not in self._waiting and self._has_room(lane, account, streamed=streamed):
            self._take(conn, lane, account, streamed=streamed)
            return "now"
        share = self._of.get(lane.kind)
        if share is not None and self._is_full(queue, share, account):
            self._figures.refuse(lane)
            return "full"
        self._waiting.setdefault(queue, deque()).append(_Entry(conn, time.monotonic() + WAIT_SECONDS, account))
        if account:
            self._waiting_accounts[account] += 1
        self._figures.waiting[lane.kind] += 1
        return "waits"

    def _is_full(self, queue: tuple[Lane, bool], share: Share, account: str) -> bool:
        together = sum(len(entries) for (other, _), entries in self._waiting.items() if other.kind == queue[0].kind)
        of_account = self._waiting_accounts[account] if account else 0
        # An account that many clients try leaves room for the others' owners.
        return (
            len(self._waiting.get(queue, ())) >= share.waiting_each
            or together >= share.waiting_together
            or of_account >= share.waiting_together // 2
        )

    def release(self, conn: C) -> list[C]:
        """Free the thread of a connection; return those whose turn it is now."""
        lane, streamed, account = self._busy.pop(conn)
        if account:
            self._accounts -= Counter({account: 1})
        self._figures.used[lane.kind] -= 1
        self._threads -= Counter[Lane | Kind]((lane, lane.kind))
        if streamed:
            self._streaming -= Counter[Lane | None]((lane, None))
        return self._called()

    def overdue(self) -> list[tuple[C, Kind]]:
        """Return who has waited for too long, and forget them. What is in no lane waits as long as it takes."""
        now, late = time.monotonic(), []
        for (lane, streamed), entries in list(self._waiting.items()):
            while entries and entries[0].until <= now and lane.kind in self._of:
                late.append((self._taken_out(lane, entries, 0), lane.kind))
                self._figures.refuse(lane)
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
                able = (
                    place for place, one in enumerate(entries) if self._has_room(lane, one.account, streamed=streamed)
                )
                if (place := next(able, None)) is None:
                    continue
                account = entries[place].account
                conn = self._taken_out(lane, entries, place)
                self._waiting.move_to_end(queue)
                if not entries:
                    del self._waiting[queue]
                self._take(conn, lane, account, streamed=streamed)
                called.append(conn)
                progress = True
        return called

    def _taken_out(self, lane: Lane, entries: deque[_Entry[C]], place: int) -> C:
        entry = entries[place]
        del entries[place]
        if entry.account:
            self._waiting_accounts -= Counter({entry.account: 1})
        self._figures.waiting[lane.kind] -= 1
        return entry.conn

    def _has_room(self, lane: Lane, account: str, *, streamed: bool) -> bool:
        share = self._of.get(lane.kind)
        if share and (self._threads[lane] >= share.each or self._threads[lane.kind] >= share.together):
            return False
        if share and account and self._accounts[account] >= share.each:
            return False
        return not streamed or (self._streaming[lane] < self._streams_each and self._streaming[None] < self._streams)

    def _take(self, conn: C, lane: Lane, account: str, *, streamed: bool) -> None:
        self._busy[conn] = (lane, streamed, account)
        if account:
            self._accounts[account] += 1
        self._figures.used[lane.kind] += 1
        self._threads.update((lane, lane.kind))
        if streamed:
            self._streaming.update((lane, None))
