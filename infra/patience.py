"""Waiting for what passes by itself within moments: a lock table that one session has taken whole."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from infra.errors import LockTableFull

if TYPE_CHECKING:
    from collections.abc import Callable

# The watchdog ends within moments who has taken all locks of the server.
LOCKS_SECONDS, LOCKS_PAUSE_SECONDS = 5.0, 0.05
T = TypeVar("T")


def act_with_locks(act: Callable[[], T]) -> T:
    """Act again while somebody holds all locks of the server, as the client would be told to.

    Of an act that raises LockTableFull nothing may remain. Raises LockTableFull when it lasts.
    """
    deadline = time.monotonic() + LOCKS_SECONDS
    while True:
        try:
            return act()
        except LockTableFull:
            if time.monotonic() > deadline:
                raise
        time.sleep(LOCKS_PAUSE_SECONDS)
