"""What is to become of a picture: as clients ask for it in a query, in a body, or in a token that was signed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from app.storage.errors import invalid_request

if TYPE_CHECKING:
    from collections.abc import Mapping

SIDE_MAX = 2500
QUALITY_MIN, QUALITY_MAX = 20, 100
RESIZES = ("cover", "contain", "fill")
FORMATS = ("origin", "avif", "webp")
GRAVITIES = ("no", "so", "ea", "we", "noea", "nowe", "soea", "sowe", "ce", "sm", "fp")
_WHOLE = re.compile(r"-?[0-9]{1,15}", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?", re.ASCII)
# As the reference tells it, which took these words from its own renderer.
_TOLD_RESIZES = {"cover": "fill", "contain": "fit", "fill": "force"}


@dataclass(frozen=True)
class Transformation:
    """What is wanted. A side that is None follows from the other one; without both nothing is resized.

    resize    cover: cut to the sides; contain: within them; fill: stretched to them
    format    origin: as it was; avif, webp; None: the best of those that the client accepts
    gravity   what is kept of what is cut: a side or corner, `sm` what catches the eye, `fp` around a point
    x_offset  and y_offset: how far from there; of `fp` the point, in parts of the whole
    """

    width: int | None = None
    height: int | None = None
    resize: str | None = None
    quality: int | None = None
    format: str | None = None
    gravity: str | None = None
    x_offset: float | None = None
    y_offset: float | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any], where: str) -> Self:
        """Read what was given, numbers also as text. where: as refusals call it, such as `querystring`.

        Raises StorageError.
        """
        found = cls(
            width=_side(given, "width", where),
            height=_side(given, "height", where),
            resize=_one_of(given, "resize", RESIZES, where),
            quality=_whole(given, "quality", QUALITY_MIN, QUALITY_MAX, where),
            format=_one_of(given, "format", FORMATS, where),
            gravity=_one_of(given, "gravity", GRAVITIES, where),
            x_offset=_offset(given, "x_offset", where),
            y_offset=_offset(given, "y_offset", where),
        )
        if found.gravity == "fp":
            for name, value in (("x_offset", found.x_offset), ("y_offset", found.y_offset)):
                if value is None:
                    raise invalid_request(f"{where} must have required property '{name}'")
                if not 0 <= value <= 1:
                    raise invalid_request(f"{where}/{name} must be between 0 and 1")
        return found

    @classmethod
    def of_query(cls, query: Mapping[str, list[str]]) -> Self:
        """Read the parameters of a query, by all values of each. Raises StorageError."""
        return cls.of(
            {name: values[0] if len(values) == 1 else values for name, values in query.items()}, "querystring"
        )

    @property
    def members(self) -> dict[str, Any]:
        """What is wanted, without what is not, as `of` reads it."""
        return {name: value for name, value in vars(self).items() if value is not None}

    @property
    def told(self) -> str:
        """What is done, as the reference tells its clients in a header."""
        parts = [f"{name}:{value}" for name, value in (("height", self.height), ("width", self.width)) if value]
        if parts:
            parts.append(f"resizing_type:{_TOLD_RESIZES[self.resize or 'cover']}")
        if self.quality:
            parts.append(f"quality:{self.quality}")
        if self.format and self.format != "origin":
            parts.append(f"format:{self.format}")
        if self.gravity:
            parts.append(f"gravity:{self._told_gravity}")
        return ",".join(parts)

    @property
    def _told_gravity(self) -> str:
        if self.gravity == "sm" or (self.x_offset is None and self.y_offset is None):
            return str(self.gravity)
        return f"{self.gravity}:{self.x_offset or 0:g}:{self.y_offset or 0:g}"


def _side(given: Mapping[str, Any], name: str, where: str) -> int | None:
    """Return a side; 0 counts as none, and one that is too long as the longest."""
    value = _whole(given, name, 0, None, where)
    return min(value, SIDE_MAX) if value else None


def _whole(given: Mapping[str, Any], name: str, least: int, most: int | None, where: str) -> int | None:
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid_request(f"{where}/{name} must be integer")
    if value < least:
        raise invalid_request(f"{where}/{name} must be >= {least}")
    if most is not None and value > most:
        raise invalid_request(f"{where}/{name} must be <= {most}")
    return value


def _offset(given: Mapping[str, Any], name: str, where: str) -> float | None:
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e15:
        raise invalid_request(f"{where}/{name} must be number")
    return float(value)


def _one_of(given: Mapping[str, Any], name: str, allowed: tuple[str, ...], where: str) -> str | None:
    value = given.get(name)
    if value is None:
        return None
    if value not in allowed or not isinstance(value, str):
        raise invalid_request(f"{where}/{name} must be equal to one of the allowed values")
    return value
