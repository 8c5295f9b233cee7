"""Twenty years of schedules in three time zones: every slot once, by two planners that die, as documented where clocks jump."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from infra.errors import Unavailable
from jobs.engine.cron import slots
from jobs.engine.planner import SchedulePlanner
from tests.jobs import trial_kinds  # noqa: F401 - the kind that fires
from tests.simulation.stage import Chances, Stage
from tests.simulation.test_schedules import connection, simulated
from tests.simulation.world import SimulatedBell, SimulatedDatabase, World

__all__ = ["connection", "simulated"]

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")
BEGIN, YEARS = datetime(2026, 1, 1, tzinfo=UTC), 20
DAILY, WEEKLY, HOURLY, OFTEN = "0 2 * * *", "0 3 * * 0", "0 * * * *", "*/5 * * * *"
STEPS = {DAILY: timedelta(days=1), WEEKLY: timedelta(days=1), HOURLY: timedelta(hours=1), OFTEN: timedelta(minutes=5)}
TROUBLE = Chances(kill=0.002, freeze=0, refuse=0.003, roll_back=0.005, forget=0.005, lose_bell=0, double_bell=0,
                  jump=0, outage=0)  # fmt: skip


def first_moment(local: datetime, zone: ZoneInfo) -> datetime:
    """The documented rule, told another way: the first minute at which a clock on the wall shows this time or a later one."""
    moment = (local - timedelta(hours=15)).replace(tzinfo=UTC)
    while moment.astimezone(zone).replace(tzinfo=None) < local - timedelta(hours=3):
        moment += timedelta(hours=1)
    while moment.astimezone(zone).replace(tzinfo=None) < local:
        moment += timedelta(minutes=5)
    return moment


def expected(expression: str, name: str, begin: datetime, end: datetime) -> list[datetime]:
    """Every local time that the expression names, as its moment, each moment once."""
    zone, found = ZoneInfo(name), set()
    local = begin.astimezone(zone).replace(tzinfo=None, hour=0, minute=0) - timedelta(days=1)
    local += {DAILY: timedelta(hours=2), WEEKLY: timedelta(hours=3)}.get(expression, timedelta())
    while local <= end.astimezone(zone).replace(tzinfo=None) + timedelta(hours=3):
        if expression != WEEKLY or local.weekday() == 6:
            quick = local.replace(tzinfo=zone).astimezone(UTC)
            offsets = {(local + timedelta(hours=h)).replace(tzinfo=zone).utcoffset() for h in (-4, 0, 4)}
            # Far from a jump a local time is one moment; near one, the wall is watched.
            found.add(quick if len(offsets) == 1 else first_moment(local, zone))
        local += STEPS[expression]
    return sorted(moment for moment in found if begin < moment <= end)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    ("expression", "years"),
    [
        (DAILY, YEARS),
        (WEEKLY, YEARS),
        (HOURLY, 2),
        pytest.param(HOURLY, YEARS, marks=pytest.mark.full),
        pytest.param(OFTEN, 1, marks=pytest.mark.full),
    ],
)
def test_every_slot_of_the_years_comes_once_and_where_documented(expression, years, zone):
    end = BEGIN.replace(year=BEGIN.year + years)
    found = list(slots(expression, zone, BEGIN, end))
    assert found == sorted(set(found))
    assert found == expected(expression, zone, BEGIN, end)


def test_every_five_minutes_come_once_where_the_clock_jumps_by_half_an_hour():
    test_every_slot_of_the_years_comes_once_and_where_documented(OFTEN, 1, "Australia/Lord_Howe")


class Planners:
    """Two planners on one stage; whoever dies is replaced. Time leaps by hours or days, and each catches up."""

    def __init__(self, connection, seed: int, step: timedelta) -> None:
        self.stage = stage = Stage(seed, TROUBLE)
        stage.offset = BEGIN.timestamp()
        self.connection = connection
        self.database = SimulatedDatabase(connection, stage, World(stage), SimulatedBell(stage))
        self.step = step.total_seconds()
        self.deaths = 0
        stage.on_death = self.replace

    def replace(self, _actor) -> None:
        self.deaths += 1
        self.stage.cast(f"planner-{self.deaths}", self.plan, mortal=True)

    def plan(self, _actor) -> None:
        planner = SchedulePlanner(self.database)
        while True:
            try:
                planner.run_once()
            except Unavailable:
                self.stage.tell("cannot plan")
            self.stage.pause(1.0)

    def still_plans(self) -> bool:
        """Whether a few hundred turns more have taken another slot."""
        before = self.connection.execute("SELECT count(*) FROM schedule_slots").fetchone()
        for _ in range(400):
            self.stage.turn()
        return self.connection.execute("SELECT count(*) FROM schedule_slots").fetchone() != before

    def play(self, until: datetime) -> None:
        for number in range(2):
            self.stage.cast(f"leader-{number}", self.plan, mortal=True)
        try:
            while self.stage.wall < until.timestamp():
                self.stage.turn()
                self.stage.offset += self.stage.random.choice([0.0, 0.0, self.step * self.stage.random.random()])
            self.stage.offset = until.timestamp() - self.stage.now
            while self.still_plans():
                pass
        finally:
            self.stage.end()


def schedule(connection, expression: str, zone: str, overlap: str) -> str:
    name = f"{zone} {expression}"
    connection.execute(
        "INSERT INTO schedules (name, kind, args, cron, timezone, catch_up, overlap, counts_from)"
        " VALUES (%s, 'trial.nothing', '{}', %s, %s, 'all', %s, %s)",
        (name, expression, zone, overlap, BEGIN),
    )
    return name


def taken(connection, name: str) -> list[datetime]:
    rows = connection.execute("SELECT slot FROM schedule_slots WHERE schedule = %s ORDER BY slot", (name,))
    return [row[0].astimezone(UTC) for row in rows]


def planned(connection, expressions, years: int, leap: timedelta, overlap: str = "skip") -> Planners:
    """Run two planners for so many years; each slot is taken, and none twice."""
    names = {
        (expression, zone): schedule(connection, expression, zone, overlap)
        for expression in expressions
        for zone in ZONES
    }
    end = BEGIN.replace(year=BEGIN.year + years)
    planners = Planners(connection, 7, leap)
    planners.play(end)
    for (expression, zone), name in names.items():
        # While the last ones were caught up, the clock went on.
        found = [slot for slot in taken(connection, name) if slot <= end]
        assert found == expected(expression, zone, BEGIN, end), name
    return planners


def test_two_planners_that_die_fire_each_slot_of_two_years_once(connection):
    planners = planned(connection, (DAILY, WEEKLY), 2, timedelta(days=4), overlap="queue")
    assert planners.deaths > 3
    fired = connection.execute("SELECT count(*), count(DISTINCT job_id), count(job_id) FROM schedule_slots").fetchone()
    jobs = connection.execute("SELECT count(*) FROM jobs").fetchone()
    assert fired == (jobs[0], jobs[0], jobs[0])


@pytest.mark.full
def test_two_planners_that_die_take_each_slot_of_twenty_years(connection):
    assert planned(connection, (DAILY, WEEKLY), YEARS, timedelta(days=20)).deaths > 10


@pytest.mark.full
def test_two_planners_that_die_take_each_hour_of_twenty_years(connection):
    assert planned(connection, (HOURLY,), YEARS, timedelta(days=2)).deaths > 100


@pytest.mark.full
def test_two_planners_that_die_take_each_five_minutes_of_a_year(connection):
    assert planned(connection, (OFTEN,), 1, timedelta(hours=6)).deaths > 100
