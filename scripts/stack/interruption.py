"""Ctrl-C, a session that ends and a machine that goes down: they cut an act short, never the taking back of it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, TypeVar

from infra.errors import InfraError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

T = TypeVar("T")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_or_undo(act: Callable[[], T], undo: Callable[[BaseException], None]) -> T:
    """Run `act` and return what it does; when it fails or is interrupted, run `undo` with the reason, to its end.

    Of all signals the first one alone raises KeyboardInterrupt, inside `act` alone. One that comes while `undo` runs,
    because whatever `act` waited for heard it first, counts as the reason afterwards.

    Raises what `undo` raises, else KeyboardInterrupt or the InfraError of `act`. Call from the main thread.
    """
    caught: list[int] = []
    over = False

    def interrupt(number: int, _frame: FrameType | None) -> None:
        caught.append(number)
        if len(caught) == 1 and not over:
            raise KeyboardInterrupt

    before = [(number, signal.getsignal(number)) for number in SIGNALS]
    try:
        try:
            for number in SIGNALS:
                signal.signal(number, interrupt)
            return act()
        finally:
            over = True
    except (InfraError, KeyboardInterrupt) as reason:
        undo(reason)
        if caught:
            raise KeyboardInterrupt from reason
        raise
    finally:
        for number, handler in before:
            signal.signal(number, handler)
