"""How whoever asked for a long act follows it, and ends it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# How often it is asked whether the act may go on, and told how far it is.
LOOK_SECONDS = 0.5


def _nothing() -> None:
    return


def _nobody(_done: int, _total: int) -> None:
    return


@dataclass(frozen=True)
class ProgressMonitor:
    """Two functions that know nothing of what they follow; by default nobody does.

    check     called at a safe point: what it raises ends the act, which leaves nothing half
    progress  told now and then how many bytes are done, and of how many
    """

    check: Callable[[], None] = _nothing
    progress: Callable[[int, int], None] = _nobody

    def of_bytes(self, total: int) -> Callable[[int], None]:
        """Return what is called with the bytes done so far, as often as one likes."""
        last = -math.inf

        def tell(done: int) -> None:
            nonlocal last
            if time.monotonic() - last > LOOK_SECONDS:
                last = time.monotonic()
                self.check()
                self.progress(min(done, total), total)

        return tell


UNWATCHED = ProgressMonitor()
