"""Schedules by the API: shown with what comes next, changed by operators only, fired by hand; and databases by size."""

from __future__ import annotations

import pytest

import jobs.kinds  # noqa: F401 - the kinds under test
from jobs.engine.planner import SchedulePlanner
from jobs.engine.schedules import declare
from tests.app.test_bad_input import problem


@pytest.fixture
def operator(town):
    """An operator of an installation whose defaults are declared."""
    made = town.owner()
    with town.infra.database.transaction() as tx:
        declare(tx, offsite=False)
        tx.execute("UPDATE owners SET is_operator = true WHERE id = %s", (made.id,))
    return made


def listed(operator) -> dict:
    return {row["name"]: row for row in operator.get("/api/admin/schedules").json()["schedules"]}


def test_each_schedule_shows_its_next_three_times(operator):
    found = listed(operator)
    assert {name: row["cron"] for name, row in found.items()} == {
        "backup": "0 2 * * *",
        "monitor": "*/5 * * * *",
        "offsite": "15 * * * *",
        "prune": "30 1 * * *",
        "retention": "45 * * * *",
        "vacuum": "0 3 * * 0",
        "vacuum-platform": "30 3 * * 0",
        "verify": "0 4 * * 0",
    }
    times = found["prune"]["next"]
    assert len(times) == 3
    assert times == sorted(times)
    assert all(moment.endswith("T01:30:00.000Z") for moment in times)


def test_a_time_kept_for_a_later_kind_fires_nothing_and_says_why(operator):
    monitor = listed(operator)["monitor"]
    assert (monitor["enabled"], monitor["next"]) == (False, [])
    assert "no worker serves" in monitor["reason"]
    problem(operator.post("/api/admin/schedules/monitor/run"), 409)
    problem(operator.patch("/api/admin/schedules/monitor", json={"enabled": True}), 409)


def test_a_change_counts_from_now_and_survives_the_next_start(operator, town):
    changed = operator.patch("/api/admin/schedules/prune", json={"cron": "0 5 * * *", "timezone": "Europe/Berlin"})
    assert (changed.status_code, changed.json()["timezone"]) == (200, "Europe/Berlin")
    assert all(moment[11:13] in ("03", "04") for moment in changed.json()["next"])
    with town.infra.database.transaction() as tx:
        declare(tx, offsite=False)
    assert listed(operator)["prune"]["cron"] == "0 5 * * *"
    assert SchedulePlanner(town.infra.database).run_once() == 0


def test_what_nobody_changed_follows_a_new_default(operator, town):
    with town.infra.database.transaction() as tx:
        tx.execute("UPDATE schedules SET cron = '9 9 * * *'")  # as an older release had it
        declare(tx, offsite=False)
    assert listed(operator)["prune"]["cron"] == "30 1 * * *"


def test_a_schedule_is_fired_by_hand_and_shows_its_job(operator, town):
    answer = operator.post("/api/admin/schedules/prune/run")
    assert (answer.status_code, answer.json()["job"]["kind"]) == (202, "platform.prune")
    assert listed(operator)["prune"]["lastJob"]["id"] == answer.json()["job"]["id"]
    assert town.rows("SELECT FROM audit WHERE action = 'schedule.run'")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"cron": "60 * * * *"}, "/cron"),
        ({"cron": "5-1 * * * *"}, "/cron"),
        ({"cron": "２ * * * *"}, "/cron"),
        ({"cron": "0 0 30 2 *"}, "/cron"),
        ({"cron": ""}, "/cron"),
        ({"cron": "* * * * *\n"}, "/cron"),
        ({"cron": "\0"}, "/cron"),
        ({"timezone": "Mars/Olympus"}, "/timezone"),
        ({"timezone": "../../etc/passwd"}, "/timezone"),
        ({"timezone": 1}, "/timezone"),
        ({"enabled": "yes"}, "/enabled"),
        ({"kind": "project.delete"}, "/kind"),
    ],
)
def test_what_is_no_schedule_is_refused_with_a_pointer(operator, change, pointer):
    before = listed(operator)
    told = problem(operator.patch("/api/admin/schedules/prune", json=change), 422)
    assert told["errors"][0]["pointer"] == pointer
    assert listed(operator) == before


def test_an_unknown_schedule_is_not_there_and_to_others_none_is(operator, town):
    problem(operator.post("/api/admin/schedules/nothing/run"), 404)
    problem(operator.patch("/api/admin/schedules/nothing", json={"enabled": False}), 404)
    problem(town.owner().get("/api/admin/schedules"), 404)
    problem(town.owner().get("/api/admin/databases"), 404)


def test_databases_are_listed_by_size_without_the_servers_templates(operator):
    found = operator.get("/api/admin/databases").json()["databases"]
    assert [row["bytes"] for row in found] == sorted((row["bytes"] for row in found), reverse=True)
    names = {row["name"] for row in found}
    assert "postgres" in names
    assert not names & {"template0", "template1"}
    assert all(row["size"].split()[1] in ("bytes", "kB", "MB", "GB") for row in found)


def test_copying_elsewhere_fires_only_where_there_is_somewhere_else(operator, infra):
    assert listed(operator)["offsite"]["enabled"] is False
    with infra.database.autocommit() as tx:
        declare(tx, offsite=True)
    assert listed(operator)["offsite"]["enabled"] is True
    with infra.database.autocommit() as tx:
        declare(tx, offsite=False)
    assert listed(operator)["offsite"]["enabled"] is False
