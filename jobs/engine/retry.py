"""How long a failed attempt waits: exponential with full jitter, so that many do not come back together."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

BASE_SECONDS = 1.0
CAP_SECONDS = 300.0


def delay_seconds(attempt: int, random: Random) -> float:
    """Return a random wait before the attempt after `attempt` (counted from 1)."""
    return random.uniform(0.0, min(CAP_SECONDS, BASE_SECONDS * 2.0 ** min(attempt, 16)))
