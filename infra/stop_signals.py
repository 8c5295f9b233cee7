"""SIGTERM and SIGINT as the wish to stop, heard wherever the program is just then."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

STOPS = (signal.SIGTERM, signal.SIGINT)


def listen() -> Callable[[], int]:
    """Take both signals as the wish to stop; return what waits for one and says which. Main thread only.

    The interpreter writes a signal's number into a pipe as it comes, in whichever thread. A Python handler would not
    do: it runs when the main thread next does, and what that one waits for need not be woken by the signal.
    """
    heard, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    for number in STOPS:
        signal.signal(number, lambda _number, _frame: None)

    def wait() -> int:
        while (number := os.read(heard, 1)[0]) not in STOPS:
            pass
        return number

    return wait
