"""Moments as clients read them."""

from __future__ import annotations

from datetime import UTC, datetime


def moment_of(seconds: float) -> datetime:
    """Return the moment of these seconds of the epoch."""
    return datetime.fromtimestamp(seconds, UTC)


def rfc3339(moment: datetime | None) -> str | None:
    """Return a moment of UTC as RFC 3339 writes it, or None."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
