"""Cron expressions as moments in time: the five fields of crontab(5), read in a time zone, with fixed rules for DST.

Times that do not exist (the clock jumps forward) move to the next one that does; times that exist twice (it jumps
back) count once, the first time. So every slot is one moment, whoever computes it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Further than any combination of day and month lies apart (29 February, weekday included: 40 years at most).
_HORIZON = timedelta(days=366 * 41)
_PART = r"(?:\*|(?P<low>\d{1,2}|[a-z]{3})(?:-(?P<high>\d{1,2}|[a-z]{3}))?)(?:/[1-9]\d?)?"
_FIELD = re.compile(_PART, re.ASCII)
_LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_MONTHS = dict(
    zip(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], range(1, 13), strict=True)
)
_DAYS = dict(zip(["sun", "mon", "tue", "wed", "thu", "fri", "sat"], range(7), strict=True))


class BadSchedule(ValueError):
    """The expression or the time zone cannot be used; the message says why."""


def check(expression: str, timezone: str) -> None:
    """Raise BadSchedule unless both can be used and the expression names at least one moment."""
    fields = expression.split(" ")
    if len(fields) != len(_LIMITS) or not all(fields):
        raise BadSchedule("a schedule has five fields, one space between: minute hour day month weekday")
    for position, field in enumerate(fields):
        for part in field.split(","):
            _check_part(part, position)
    zone(timezone)
    if next(slots(expression, timezone, datetime.now(UTC), datetime.now(UTC) + _HORIZON), None) is None:
        raise BadSchedule("the schedule names a day that never comes")


def _check_part(part: str, position: int) -> None:
    matched = _FIELD.fullmatch(part)
    if matched is None:
        raise BadSchedule(f"{part!a} is not understood")
    if matched["low"] is None:
        return
    low, high = _number(matched["low"], position), _number(matched["high"] or matched["low"], position)
    smallest, largest = _LIMITS[position]
    if not smallest <= low <= high <= largest:
        raise BadSchedule(f"{part!a} is outside {smallest} to {largest} or runs backwards")


def _number(text: str, position: int) -> int:
    if text.isdigit():
        return int(text)
    named = {3: _MONTHS, 4: _DAYS}.get(position, {})
    if text not in named:
        raise BadSchedule(f"{text!a} is not understood")
    return named[text]


def zone(name: str) -> ZoneInfo:
    """Return the time zone of that IANA name. Raises BadSchedule."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadSchedule(f"there is no time zone {name!a}") from None


def slots(expression: str, timezone: str, after: datetime, until: datetime) -> Iterator[datetime]:
    """Yield the slots in (after, until], in order, each once, as UTC moments."""
    # Local time may run back by an hour or two around `after`: start earlier, drop what is not later.
    start = (after - timedelta(hours=3)).astimezone(zone(timezone))
    last = after
    try:
        ticks = CronSim(_of_fixed_times(expression), start)
    except CronSimError:
        return  # a day that no month has
    for tick in ticks:
        moment = tick.astimezone(UTC)
        if moment > until:
            return
        if moment > last:  # all times of one gap are the same moment
            last = moment
            yield moment


def _of_fixed_times(expression: str) -> str:
    """Return the expression with the stars of minute and hour written out: to cron those alone follow no local time."""
    minute, hour, days = expression.split(" ", 2)
    return f"{minute.replace('*', '0-59')} {hour.replace('*', '0-23')} {days}"
