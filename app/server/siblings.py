"""What the processes of one server know of each other, and how one hands a connection over to another.

Made before they are forked: figures in memory that all of them see, of which each writes its own alone, and an inbox
each, which outlives whoever reads it. A process that has ended is followed by one of the same number.
"""

from __future__ import annotations

import array
import mmap
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# The process that serves what only one serves.
LEADER = 0
# What one hands over is a request as far as it has come: at most a head, a gathered body and what came behind it.
MESSAGE_BYTES_MAX = 400_000
INBOX_BYTES = 4 * 1024 * 1024
# More connections than anybody has: nobody is handed one.
_AWAY = 1 << 30
_DATA, _ALL, _TAKEN, _GIVEN = 0, 1, 2, 3


class Siblings:
    """The processes of one server, by number."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._row = _GIVEN + count
        cells = mmap.mmap(-1, max(mmap.PAGESIZE, count * self._row * 8))
        self._cells = memoryview(cells).cast("q")
        self._inboxes = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(count)]
        for pair in self._inboxes:
            pair[1].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, INBOX_BYTES)
            for each in pair:
                each.setblocking(False)
        for number in range(count):
            self.leave(number)

    def inbox(self, number: int) -> socket.socket:
        """Return the socket that can be read when somebody has handed something over."""
        return self._inboxes[number][0]

    def note(self, number: int, data: int, connections: int) -> None:
        """Note how many connections a process has, and how many of them are for projects' data."""
        self._set(number, _DATA, data)
        self._set(number, _ALL, connections)

    def leave(self, number: int) -> None:
        """Note that a process is not there."""
        self.note(number, _AWAY, 0)

    def is_away(self, number: int) -> bool:
        """Return whether a process is not there now."""
        return self._get(number, _DATA) == _AWAY

    def connections(self) -> int:
        """Return how many connections all of them have."""
        return sum(self._get(number, _ALL) for number in range(self.count))

    def least(self, places: Iterable[int], here: int, here_data: int) -> int:
        """Return which of several processes serves a connection: this one, unless another has less to do by two.

        here_data  the connections for data that this process has, with the one that is asked about
        """
        loads = {number: here_data if number == here else self._load(number) for number in places}
        best = min(loads, key=lambda number: loads[number])
        return here if loads.get(here, _AWAY) <= loads[best] + 1 else best

    def hand_over(self, here: int, to: int, message: bytes, handle: int | None = None) -> bool:
        """Send a message to a process, with an open file; say whether it has room for it."""
        cell = _GIVEN + to
        carried = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [handle]))] if handle is not None else []
        # Before, so that the next one in line sees it.
        self._set(here, cell, self._get(here, cell) + bool(carried))
        try:
            self._inboxes[to][1].sendmsg([message], carried)
        except OSError:
            self._set(here, cell, self._get(here, cell) - bool(carried))
            return False
        return True

    def take(self, here: int) -> tuple[bytes, socket.socket | None] | None:
        """Return the next message and its connection; None when there is none."""
        handles = array.array("i")
        try:
            message, carried, _flags, _address = self._inboxes[here][0].recvmsg(
                MESSAGE_BYTES_MAX, socket.CMSG_SPACE(handles.itemsize), socket.MSG_CMSG_CLOEXEC
            )
        except (BlockingIOError, InterruptedError):
            return None
        if not carried:
            return message, None
        handles.frombytes(carried[0][2][: handles.itemsize])
        self._set(here, _TAKEN, self._get(here, _TAKEN) + 1)
        return message, socket.socket(fileno=handles[0])

    def _load(self, number: int) -> int:
        """Return the connections for data that a process has, with those on their way to it."""
        given = sum(self._get(giver, _GIVEN + number) for giver in range(self.count))
        return self._get(number, _DATA) + given - self._get(number, _TAKEN)

    def _get(self, number: int, cell: int) -> int:
        return self._cells[number * self._row + cell]

    def _set(self, number: int, cell: int, value: int) -> None:
        self._cells[number * self._row + cell] = value
