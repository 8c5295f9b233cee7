"""SIGTERM and SIGINT as the wish to stop, heard wherever the program is just then."""

from __future__ import annotations

import signal
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def listen() -> Callable[[], int]:
    """Take both signals as the wish to stop; return what waits for one and says which. Main thread only.

    This is no Event: the handler may interrupt the very wait that holds the Event's lock, and would then wait for it
    for ever.
    """
    heard: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda given, _frame: heard.put(given))
    return heard.get
