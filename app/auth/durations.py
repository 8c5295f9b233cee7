"""How long a ban lasts, written as Go writes durations: `24h`, `1h30m`, `none`."""

from __future__ import annotations

import re
from datetime import timedelta

from app.auth.errors import validation_error

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d{1,12}(?:\.\d{0,9})?)(ns|us|µs|ms|s|m|h)", re.ASCII)
_WHOLE = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)
# Two hundred years and more: nobody is banned for longer than that, and any calendar can say when it ends.
LONGEST = timedelta(days=73_050)


def ban_duration(text: str) -> timedelta | None:
    """Return how long a ban lasts; None for `none`, which lifts it. Raises AuthError."""
    if text == "none":
        return None
    if not _WHOLE.fullmatch(text):
        raise validation_error(f"invalid format for ban duration: {text[:40]!r}")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    if seconds > LONGEST.total_seconds():
        raise validation_error(f"invalid format for ban duration: longer than {LONGEST.days * 24} hours")
    return timedelta(seconds=seconds)
