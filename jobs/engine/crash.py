"""Crash points: a documented way to die at an exact place, for tests (LAUNCHDB_CRASH=kind:step:point)."""

from __future__ import annotations

import os
from typing import Literal

Point = Literal["before_act", "after_act", "after_checkpoint"]
POINTS: tuple[Point, ...] = ("before_act", "after_act", "after_checkpoint")
EXIT_STATUS = 137


class CrashPoint:
    """Dies without a word when the run passes the place it names; the empty text names none."""

    def __init__(self, text: str) -> None:
        parts = text.split(":") if text else []
        if parts and (len(parts) != 3 or parts[2] not in POINTS):
            raise ValueError(f"LAUNCHDB_CRASH must be kind:step:point with one of {', '.join(POINTS)}")
        self._place = tuple(parts)

    def die_if_reached(self, kind: str, step: str, point: Point) -> None:
        """End the process, as kill -9 would, if this is the place."""
        if self._place == (kind, step, point):
            os._exit(EXIT_STATUS)
