"""Schedules become jobs: every slot once, whoever plans; what was missed follows the policy."""

from __future__ import annotations

import threading

import pytest
from psycopg.types.json import Jsonb

from jobs.engine.planner import SchedulePlanner
from tests.jobs.trial_kinds import Nothing

__all__ = ["Nothing"]


@pytest.fixture
def schedule(infra):
    """Write a schedule that counts from some time ago; return its name."""

    def write(ago="2 hours", **more):
        values = {"name": "trial", "kind": "trial.nothing", "args": Jsonb({"label": "s"}), "cron": "*/5 * * * *",
                  "timezone": "UTC", "catch_up": "latest", "jitter": 0, "overlap": "queue", **more}  # fmt: skip
        with infra.database.autocommit() as tx:
            tx.execute(
                "INSERT INTO schedules (name, kind, args, cron, timezone, catch_up, jitter_seconds, overlap, counts_from)"
                f" VALUES (%(name)s, %(kind)s, %(args)s, %(cron)s, %(timezone)s, %(catch_up)s, %(jitter)s, %(overlap)s,"
                f" now() - interval '{ago}')",
                values,
            )
        return values["name"]

    return write


def jobs(infra):
    with infra.database.autocommit() as tx:
        return tx.rows("SELECT j.*, t.slot FROM jobs j LEFT JOIN schedule_slots t ON t.job_id = j.id ORDER BY j.seq")


def test_a_missed_schedule_catches_up_with_its_latest_slot_only(infra, schedule):
    schedule()
    assert SchedulePlanner(infra.database).run_once() == 1
    assert SchedulePlanner(infra.database).run_once() == 0
    assert len(jobs(infra)) == 1


def test_a_schedule_that_catches_up_all_fires_every_slot_once(infra, schedule):
    schedule(catch_up="all")
    assert SchedulePlanner(infra.database).run_once() == 24
    assert len({row["slot"] for row in jobs(infra)}) == 24


def test_a_schedule_that_skips_fires_nothing_that_is_late(infra, schedule):
    schedule(catch_up="skip", cron="0 0 1 1 *", ago="3 years")
    assert SchedulePlanner(infra.database).run_once() == 0
    assert jobs(infra) == []


def test_many_planners_fire_each_slot_once(infra, schedule):
    schedule(catch_up="all")
    threads = [threading.Thread(target=SchedulePlanner(infra.database).run_once) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    slots = [row["slot"] for row in jobs(infra)]
    assert len(slots) == len(set(slots)) == 24, "Each slot of a schedule fires once, whoever plans"


def test_a_slot_is_skipped_while_the_last_one_still_runs(infra, schedule):
    schedule(catch_up="all", overlap="skip")
    assert SchedulePlanner(infra.database).run_once() == 1


def test_a_slot_replaces_the_last_one_that_still_waits(infra, schedule):
    schedule(catch_up="all", overlap="replace")
    SchedulePlanner(infra.database).run_once()
    assert [row["status"] for row in jobs(infra)] == ["cancelled"] * 23 + ["queued"]


def test_jitter_spreads_but_is_the_same_for_every_planner(infra, schedule):
    schedule(catch_up="all", jitter=600)
    SchedulePlanner(infra.database).run_once()
    delays = [(row["run_at"] - row["slot"]).total_seconds() for row in jobs(infra)]
    assert all(0 <= delay < 600 for delay in delays)
    assert len(set(delays)) > 10


def test_an_unknown_kind_takes_its_slot_and_harms_no_other_schedule(infra, schedule):
    schedule(name="a", kind="no.such")
    schedule(name="b")
    assert SchedulePlanner(infra.database).run_once() == 1
