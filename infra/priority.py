"""How a process of ours steps back behind all others when there is not enough of the machine for everybody."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

# Of a whole session, where the kernel weighs sessions one against the other and nice values only within one.
AUTOGROUP = Path("/proc/self/autogroup")


def step_back_thread(nice: int) -> None:
    """Have the calling thread give way to the others of its process. Linux keeps this for each thread by itself."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)


def step_back_process(nice: int) -> None:
    """Have this process, which leads a session of its own, give way to all others."""
    os.setpriority(os.PRIO_PROCESS, 0, nice)
    with suppress(OSError):  # not every kernel weighs sessions
        AUTOGROUP.write_text(str(nice))
