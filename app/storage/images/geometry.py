"""How large a picture becomes, and which part of it is kept, in whole pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.storage.images.transformation import Transformation

# Without a wanted size, a picture is shown no larger than this.
WIDTH_MAX, HEIGHT_MAX = 3000, 8192


@dataclass(frozen=True)
class Plan:
    """First a picture is scaled to this size, then cut to that one."""

    width: int
    height: int
    cut_width: int
    cut_height: int


def plan_of(wanted: Transformation, width: int, height: int) -> Plan:
    """Return what becomes of a picture of this size. It is never made larger than it is."""
    wide, high, resize = wanted.width, wanted.height, wanted.resize or "cover"
    if wide is None and high is None:
        wide, high, resize = WIDTH_MAX, HEIGHT_MAX, "contain"
    shrink_x = width / wide if wide else None
    shrink_y = height / high if high else None
    if resize == "fill":
        across, down = shrink_x or 1.0, shrink_y or 1.0
    else:
        shrinks = [shrink for shrink in (shrink_x, shrink_y) if shrink is not None]
        across = down = max(shrinks) if resize == "contain" else min(shrinks)
    if (least := min(across, down)) < 1:
        across, down = across / least, down / least
    scaled_width, scaled_height = _pixels(width / across), _pixels(height / down)
    if resize != "cover":
        return Plan(scaled_width, scaled_height, scaled_width, scaled_height)
    return Plan(
        scaled_width, scaled_height, min(wide or scaled_width, scaled_width), min(high or scaled_height, scaled_height)
    )


def corner(wanted: Transformation, plan: Plan) -> tuple[int, int]:
    """Return where the part that is kept begins: left and top."""
    gravity, across, down = wanted.gravity or "ce", wanted.x_offset or 0.0, wanted.y_offset or 0.0
    if gravity == "fp":
        left = int(plan.width * across) - plan.cut_width // 2
        top = int(plan.height * down) - plan.cut_height // 2
    else:
        x, y = _distance(across, plan.width), _distance(down, plan.height)
        left = _along(plan.width, plan.cut_width, x, first="we" in gravity, last="ea" in gravity)
        top = _along(plan.height, plan.cut_height, y, first="no" in gravity, last="so" in gravity)
    return _within(left, plan.width - plan.cut_width), _within(top, plan.height - plan.cut_height)


def _along(whole: int, kept: int, distance: int, *, first: bool, last: bool) -> int:
    if first:
        return distance
    return whole - kept - distance if last else (whole - kept + 1) // 2 + distance


def _distance(stated: float, whole: int) -> int:
    """Return a distance in pixels; less than one is a part of the whole."""
    return round(stated) if abs(stated) >= 1 else round(stated * whole)


def _pixels(side: float) -> int:
    return max(1, math.floor(side + 0.5))


def _within(at: int, most: int) -> int:
    return max(0, min(at, most))
