"""What one session has prepared: a statement counts as prepared when the server has said so, and not before."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b

# Runs that succeeded before a statement is worth preparing, and how many a session holds.
WORTH = 5
MOST = 200
# A longer text is rare, and its plan large.
LONGEST_BYTES = 8192


def key_of(text: bytes) -> bytes:
    """Return what a text is known by here, or nothing when it is never prepared; clients write texts of any length."""
    return blake2b(text, digest_size=16).digest() if len(text) <= LONGEST_BYTES else b""


class PreparedStatements:
    """The prepared statements of one session, by a key of their text.

    A plan keeps the types that its parameters had when it was made, and the server never looks at them again. So what
    was prepared under one stamp of the schema is not used under another, and its text differs: a pooler gives all
    clients that prepare the same text the same plan.
    """

    def __init__(self) -> None:
        self._stamp: str | None = None
        self._names: OrderedDict[bytes, bytes] = OrderedDict()
        self._runs: OrderedDict[bytes, int] = OrderedDict()
        self._number = 0
        self._losses = 0
        self._unwanted: list[bytes] = []

    def use_stamp(self, stamp: str) -> None:
        """Give up what was prepared under another stamp."""
        if stamp != self._stamp:
            self._clear()
            self._stamp = stamp

    def take_closable(self) -> list[bytes]:
        """Return the names to be closed now, and forget them."""
        names, self._unwanted = self._unwanted, []
        return names

    def name_of(self, key: bytes) -> bytes | None:
        """Return the name that the server knows a statement by, or None."""
        name = self._names.get(key)
        if name is not None:
            self._names.move_to_end(key)
        return name

    def offer_name(self, key: bytes) -> bytes | None:
        """Return a name to prepare a statement by, new each time, or None when that is not worth it yet."""
        if self._runs.get(key, 0) < WORTH:
            return None
        self._number += 1
        return b"launchdb_%d" % self._number

    def confirm(self, key: bytes, name: bytes) -> None:
        """Note that the server has it; the one that was used the longest time ago makes room."""
        self._names[key] = name
        self._runs.pop(key, None)
        if len(self._names) > MOST:
            self._unwanted.append(self._names.popitem(last=False)[1])

    def refuse(self, name: bytes) -> None:
        """Note that the server may or may not have it; closing what is not there is no error."""
        self._unwanted.append(name)

    def forget_all(self) -> None:
        """Give up everything, for the server has lost it; what is prepared from here on has another mark.

        A pooler does not know of the loss, and would take the same text for prepared.
        """
        self._clear()
        self._losses += 1

    @property
    def mark(self) -> bytes:
        """Return what the text of a statement that is prepared now differs by, which is no SQL."""
        return b"%b %d" % ((self._stamp or "").encode(), self._losses)

    def count_success(self, key: bytes) -> None:
        """Note a run that succeeded."""
        if key not in self._names:
            self._runs[key] = self._runs.get(key, 0) + 1
            self._runs.move_to_end(key)
            if len(self._runs) > MOST:
                self._runs.popitem(last=False)

    def _clear(self) -> None:
        self._unwanted += self._names.values()
        self._names.clear()
        self._runs.clear()
