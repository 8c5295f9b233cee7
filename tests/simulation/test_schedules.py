"""Whatever befalls workers, clocks, bells and connections, the engine's invariants hold: thousands of seeds say so."""

from __future__ import annotations

import time

import psycopg
import pytest
from psycopg.sql import SQL

from config.settings import load
from jobs.engine import kind as kinds
from jobs.engine import reaper, table
from jobs.engine.ledger import Ledger
from jobs.engine.worker import _serve
from tests.simulation.invariants import violations
from tests.simulation.schedule import Schedule
from tests.simulation.stage import Chances
from tests.simulation.world import CLOCK, SimulatedTransaction, World

STORM = Chances(kill=0.03, freeze=0.03)
CLEAN = "DELETE FROM jobs; DELETE FROM workers; DELETE FROM resources; DELETE FROM idempotency_keys; DELETE FROM simulation.subjects"


@pytest.fixture
def connection(platform_url):
    """The one connection of a simulated installation."""
    with psycopg.connect(platform_url, autocommit=True) as opened:
        opened.execute(CLOCK)
        opened.execute("SELECT set_config('simulation.wall', '1000000000', false)")
        for declared in kinds.kinds().values():
            _serve(SimulatedTransaction(opened, None), declared)
        yield opened


@pytest.fixture
def simulated(tmp_path):
    """Settings with the engine's real times: simulated seconds cost nothing."""
    return load({"LAUNCHDB_HOME": str(tmp_path)})


def played(settings, connection, seed: int, chances: Chances) -> list[str]:
    """Play one seed; return what it broke, with the last things that happened."""
    connection.execute(CLEAN)
    schedule = Schedule(settings, connection, seed, chances)
    schedule.play()
    broken = violations(schedule)
    return [*broken, f"seed {seed}", *schedule.stage.told[-40:], *history(schedule)] if broken else []


def history(schedule) -> list[str]:
    """What the jobs' own events tell."""
    return [
        f"{row['created_at']} {row['kind']} {row['seq']}: {row['type']} {row['data']}"
        for row in schedule.rows(
            "SELECT e.*, j.kind, j.seq FROM job_events e JOIN jobs j ON j.id = e.job_id ORDER BY e.id"
        )
    ]


def campaign(settings, connection, seeds, chances: Chances | None = None) -> None:
    for count, seed in enumerate(seeds):
        if count % 200 == 199:
            connection.execute("VACUUM jobs, job_steps, job_events, resources, workers")
        broken = played(settings, connection, seed, chances or Chances())
        assert not broken, "\n".join(broken)


def test_a_hundred_schedules_keep_every_invariant(simulated, connection):
    campaign(simulated, connection, range(100))


def without(statement, text: str, instead: str = ""):
    """A statement that lacks a part."""
    assert text in statement.as_string(None)
    return SQL(statement.as_string(None).replace(text, instead))


def blind_reaper(monkeypatch):
    """Sessions of an attempt that is passed on are left open."""
    monkeypatch.setattr(World, "end_sessions", lambda *_: None)


def unfenced_steps(monkeypatch):
    """A checkpoint is written by whoever comes."""
    now_held = "(SELECT fence FROM jobs WHERE id = %(id)s)"
    monkeypatch.setattr(table.SQL, "look", without(table.SQL.look, " AND fence = %(fence)s"))
    for name in ("advance", "release", "finish"):
        monkeypatch.setattr(table.SQL, name, without(getattr(table.SQL, name), "%(fence)s", now_held))


def forgetful_ledger(monkeypatch):
    """A thing is made before it is written down."""
    monkeypatch.setattr(Ledger, "mark_intended", lambda *_: None)


def eager_reaper(monkeypatch):
    """A job is passed on without its crash being counted or its fence being asked for."""
    passed = "UPDATE jobs SET status = 'queued', ready = true WHERE id = %(id)s RETURNING id, NULL AS next_id"
    monkeypatch.setattr(reaper.SQL, "pass_on", passed)


def sleepy_parent(monkeypatch):
    """A parked parent that is cancelled never becomes ready again."""
    monkeypatch.setattr(table.SQL, "cancel_begun", without(table.SQL.cancel_begun, "ready = ready OR lane IS NULL, "))


@pytest.mark.parametrize("fault", [blind_reaper, unfenced_steps, forgetful_ledger, eager_reaper, sleepy_parent])
def test_the_simulation_finds_an_engine_that_is_broken(fault, monkeypatch, simulated, connection):
    fault(monkeypatch)
    with pytest.raises(AssertionError, match=r"R[1-9]|seed"):
        campaign(simulated, connection, range(400), STORM)


@pytest.mark.full
def test_thousands_of_schedules_keep_every_invariant(simulated, connection):
    started = time.monotonic()
    campaign(simulated, connection, range(1000, 5000))
    campaign(simulated, connection, range(5000, 6000), STORM)
    print(f"5000 schedules in {time.monotonic() - started:.0f} s")
