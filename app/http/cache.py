"""A small memory of a process: values that may be a little old, bounded in time and number."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

V = TypeVar("V")
MOST = 4096


class Cache(Generic[V]):
    """Remembers what was found for `seconds`, and forgets everything when it grows too large."""

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds
        self._known: dict[Hashable, tuple[float, V | None]] = {}

    def get(self, key: Hashable, find: Callable[[], V | None]) -> V | None:
        """Return what is known, or what `find` finds; None is remembered as well."""
        now = time.monotonic()
        known = self._known.get(key)
        if known is not None and known[0] > now:
            return known[1]
        found = find()
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[key] = (now + self._seconds, found)
        return found

    def forget(self, key: Hashable) -> None:
        """Look again next time."""
        self._known.pop(key, None)

    def clear(self) -> None:
        """Look at everything again."""
        self._known.clear()
