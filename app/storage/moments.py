"""Times as clients read them."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime


def moment(value: datetime | None) -> str | None:
    """Return a time in UTC, to the thousandth of a second, as JSON has it."""
    if value is None:
        return None
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def http_date(value: datetime) -> str:
    """Return a time to the second, as headers have it."""
    return format_datetime(value.astimezone(UTC), usegmt=True)
