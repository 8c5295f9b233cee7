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
