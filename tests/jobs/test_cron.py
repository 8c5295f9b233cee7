"""Cron: five strict fields, every slot once, gaps moved to the next valid minute, folds counted once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.engine.cron import BadSchedule, check, slots

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    "expression", ["*/5 * * * *", "0 2 * * *", "0 3 * * 0", "15 0-6/2 1,15 jan-mar mon", "0 0 29 2 *"]
)
def test_a_usual_schedule_is_accepted(expression):
    check(expression, BERLIN)


@pytest.mark.parametrize(
    "expression",
    ["60 * * * *", "5-1 * * * *", "２ * * * *", "* * * *", "* * * * * *", "", "@daily", "*/0 * * * *", "a * * * *",
     "0 0 31 2 *", "0 24 * * *", "0 0 0 * *", "0 0 * 13 *", "0 0 * * 8", "0 0 L * *", "0 0 * * mon#2", "R * * * *",
     "1_0 * * * *", "+1 * * * *", " 1 2 3 4 5", "0 0 * * *\n", "0\x00 0 * * *", "0  0 * * *", "jan * * * *"],
)  # fmt: skip
def test_what_is_no_schedule_is_refused(expression):
    with pytest.raises(BadSchedule):
        check(expression, "UTC")


@pytest.mark.parametrize("timezone", ["Mars/Olympus", "", "../../etc/passwd", "UTC\x00", "europe/berlin/x"])
def test_an_unknown_time_zone_is_refused(timezone):
    with pytest.raises(BadSchedule):
        check("0 2 * * *", timezone)


def test_a_daily_slot_in_the_gap_moves_to_the_next_valid_minute():
    found = list(slots("30 2 * * *", BERLIN, utc(2026, 3, 28, 12), utc(2026, 3, 30, 12)))
    assert found == [utc(2026, 3, 29, 1, 0), utc(2026, 3, 30, 0, 30)]


def test_a_daily_slot_in_the_fold_fires_the_first_time_only():
    found = list(slots("30 2 * * *", BERLIN, utc(2026, 10, 24, 12), utc(2026, 10, 26, 12)))
    assert found == [utc(2026, 10, 25, 0, 30), utc(2026, 10, 26, 1, 30)]


def test_a_half_hour_change_moves_a_slot_by_half_an_hour():
    found = list(slots("15 2 * * *", LORD_HOWE, utc(2026, 10, 3), utc(2026, 10, 4)))
    assert found == [utc(2026, 10, 3, 15, 30)]


def test_all_times_of_one_gap_are_one_slot():
    found = list(slots("0,20,40 2 * * *", BERLIN, utc(2026, 3, 28, 12), utc(2026, 3, 29, 12)))
    assert found == [utc(2026, 3, 29, 1, 0)]


def test_an_interval_counts_the_hour_that_comes_twice_once_whichever_star_it_is_made_of():
    expected = [utc(2026, 10, 25, 0, 0), utc(2026, 10, 25, 0, 30), utc(2026, 10, 25, 2, 0)]
    for expression in ("*/30 * * * *", "0,30 * * * *", "0,30 0-23 * * *", "*/30 2,3 * * *"):
        assert list(slots(expression, BERLIN, utc(2026, 10, 24, 23, 30), utc(2026, 10, 25, 2))) == expected


@pytest.mark.parametrize(("expression", "days"), [
    ("0 12 * * 5-5", [6, 13, 20, 27]), ("0 12 5-5 * *", [5]), ("0 12 * 11-11 1", [2, 9, 16, 23, 30]),
    ("0 12 */10 * 6", [21]), ("0 12 20,21 * 6", [7, 14, 20, 21, 28]),
])  # fmt: skip
def test_days_are_those_of_crontab(expression, days):
    found = list(slots(expression, "UTC", utc(2026, 11, 1), utc(2026, 12, 1)))
    assert found == [utc(2026, 11, day, 12) for day in days]


CHANGES = [
    *((BERLIN, utc(2026, month, day, 1)) for month, day in ((3, 29), (10, 25))),
    *((NEW_YORK, utc(2026, month, day, hour)) for month, day, hour in ((3, 8, 7), (11, 1, 6))),
    *((LORD_HOWE, utc(2026, month, day, 15, minute)) for month, day, minute in ((4, 4, 0), (10, 3, 30))),
]


@pytest.mark.parametrize(("timezone", "change"), CHANGES)
@given(minute=st.integers(0, 59), hour=st.integers(0, 23))
@settings(max_examples=30, deadline=None)
def test_a_time_comes_once_on_each_local_day_whatever_the_clock_does(timezone, change, minute, hour):
    place = ZoneInfo(timezone)
    day = change.astimezone(place).replace(hour=0, minute=0) - timedelta(days=1)
    first, end = (moment.astimezone(UTC) - timedelta(minutes=1) for moment in (day, day + timedelta(days=3)))
    found = list(slots(f"{minute} {hour} * * *", timezone, first, end))
    days = [(day + timedelta(days=number)).date() for number in range(3)]
    assert [moment.astimezone(place).date() for moment in found] == days


@pytest.mark.parametrize("timezone", [BERLIN, NEW_YORK, LORD_HOWE])
@pytest.mark.parametrize(("expression", "years", "least", "most"), [
    ("0 2 * * *", 20, 7304, 7306), ("0 3 * * 0", 20, 1043, 1044), ("0 * * * *", 2, 17515, 17522), pytest.param("*/5 * * * *", 1, 105_090, 105_122, marks=pytest.mark.full),
])  # fmt: skip
def test_slots_over_years_are_in_order_and_once_each(timezone, expression, years, least, most):
    found = list(slots(expression, timezone, utc(2026, 1, 1), utc(2026 + years, 1, 1)))
    assert all(later > earlier for earlier, later in pairwise(found))
    assert least <= len(found) <= most


@pytest.mark.parametrize("timezone", [BERLIN, NEW_YORK, LORD_HOWE])
@given(
    start=st.integers(0, 4 * 366 * 24 * 60).map(lambda minutes: utc(2026, 1, 1) + timedelta(minutes=minutes)),
    cut=st.integers(1, 72),
)
@settings(max_examples=40, deadline=None)
def test_a_span_cut_in_two_gives_the_same_slots(timezone, start, cut):
    middle, end = start + timedelta(hours=cut), start + timedelta(hours=96)
    whole = list(slots("*/20 1-3 * * *", timezone, start, end))
    parts = [*slots("*/20 1-3 * * *", timezone, start, middle), *slots("*/20 1-3 * * *", timezone, middle, end)]
    assert whole == parts


def test_every_slot_is_a_whole_minute_that_exists():
    place = ZoneInfo(LORD_HOWE)
    for moment in slots("*/7 * * * *", LORD_HOWE, utc(2026, 9, 30), utc(2026, 10, 10)):
        assert moment.second == moment.microsecond == 0
        assert moment.astimezone(place).astimezone(UTC) == moment
