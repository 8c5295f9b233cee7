"""launchdb workers, queues, jobs list --all and db sizes: the operator's view of the engine and the server."""

from __future__ import annotations

import pytest

from jobs.engine import schedules
from tests.cli.test_nouns import shop, worker  # noqa: F401 - fixtures
from tests.fixtures.projects import add_project
from tests.fixtures.servers import wait_until


def test_workers_are_listed_with_their_queues_and_their_last_beat(launchdb, operator, worker):  # noqa: F811
    wait_until(lambda: launchdb.run("workers", "--json").json["workers"], 60)
    [found] = launchdb.run("workers", "--json").json["workers"]
    assert (found["pid"], found["currentJob"]) == (worker.pid, None)
    assert found["queues"]
    shown = launchdb.run("workers").out.splitlines()
    assert shown[0].split()[:4] == ["WORKER", "HOST", "QUEUES", "JOB"]
    assert shown[1].split()[0] == found["name"]


def test_an_installation_without_workers_lists_none(launchdb, operator):
    found = launchdb.run("workers")
    assert (found.code, len(found.out.splitlines())) == (0, 1)
    assert launchdb.run("workers", "--json").json == {"workers": []}


def test_a_paused_queue_holds_its_jobs_until_it_is_resumed(launchdb, operator, infra):
    paused = launchdb.run("queues", "pause", "control", "--json")
    assert (paused.code, paused.json["pausedBy"]) == (0, operator)
    assert launchdb.run("projects", "create", "shop", "--no-wait").code == 0
    found = {queue["name"]: queue for queue in launchdb.run("queues", "list", "--json").json["queues"]}
    assert (found["control"]["depth"], found["bulk"]["depth"], found["bulk"]["pausedAt"]) == (1, 0, None)
    row = next(line for line in launchdb.run("queues", "list").out.splitlines() if line.startswith("control"))
    assert row.split()[1:3] == ["1", "0"]
    assert found["control"]["pausedAt"] in row
    [job] = launchdb.run("jobs", "list", "--json").json["jobs"]
    assert "queue control is paused" in launchdb.run("jobs", "why", job["id"]).out
    assert launchdb.run("queues", "pause", "control", "--json").json["pausedAt"] == found["control"]["pausedAt"]
    assert launchdb.run("queues", "resume", "control", "--json").json["pausedAt"] is None
    assert "paused" not in launchdb.run("jobs", "why", job["id"]).out
    with infra.database.autocommit() as tx:
        actions = [row["action"] for row in tx.rows("SELECT action FROM audit WHERE action LIKE 'queue.%' ORDER BY id")]
    assert actions == ["queue.pause", "queue.pause", "queue.resume"]


@pytest.mark.parametrize("queue", ["nothing", "../owners", "a b", "%2e%2e/x", "bulk/pause?x="])
def test_a_queue_that_is_not_there_pauses_nothing(launchdb, operator, queue):
    refused = launchdb.run("queues", "pause", queue)
    assert (refused.code, refused.out) == (5, "")
    assert f"there is no queue {queue}" in refused.err
    listed = launchdb.run("queues", "list", "--json").json["queues"]
    assert {found["pausedAt"] for found in listed} == {None}


def test_an_operator_lists_the_jobs_of_all_owners(launchdb, operator, infra):
    assert launchdb.run("projects", "create", "shop", "--no-wait").code == 0
    with infra.database.transaction() as tx:
        tx.execute("UPDATE owners SET is_operator = false")
        tx.execute(
            "INSERT INTO owners (id, email, password_hash, is_operator)"
            " VALUES ('own_' || repeat('a', 32), 'ann@example.org', '$argon2id$none', true)"
        )
    assert launchdb.run("jobs", "list", "--json").json == {"jobs": []}
    [job] = launchdb.run("jobs", "list", "--all", "--json").json["jobs"]
    assert job["createdBy"] == operator
    assert job["id"] in launchdb.run("jobs", "list", "--all").out


def test_who_is_no_operator_is_told_so(launchdb, operator, infra):
    token = launchdb.run("tokens", "create", "deploy", "--days", "1").out.strip()
    with infra.database.transaction() as tx:
        tx.execute("UPDATE owners SET is_operator = false")
    launchdb.environment["LAUNCHDB_TOKEN"] = token
    for command in (
        ("workers",),
        ("queues", "list"),
        ("queues", "pause", "bulk"),
        ("jobs", "list", "--all"),
        ("db", "sizes"),
    ):
        refused = launchdb.run(*command)
        assert (refused.code, refused.out) == (6, ""), command
        assert "for operators" in refused.err


def test_sizes_name_the_project_of_each_database_the_largest_first(launchdb, shop):  # noqa: F811
    project = shop.json["project"]["id"]
    found = launchdb.run("db", "sizes", "--json").json["databases"]
    assert [row["bytes"] for row in found] == sorted((row["bytes"] for row in found), reverse=True)
    [row] = [row for row in found if row["projectId"] == project]
    assert (row["name"], row["projectName"]) == (project, "shop")
    assert row["bytes"] > 1_000_000
    [line] = [line for line in launchdb.run("db", "sizes").out.splitlines() if project in line]
    assert line.endswith("shop")
    assert row["size"] in line


def test_status_begins_with_what_wants_attention_and_tells_since_when(launchdb, operator, worker, infra):  # noqa: F811
    with infra.database.transaction() as tx:
        schedules.declare(tx, offsite=False)
        tx.execute(
            "INSERT INTO jobs (id, kind, queue, status, args, created_by, finished_at, ready)"
            " VALUES ('job_' || repeat('1', 32), 'platform.vacuum', 'bulk', 'succeeded', '{}', 'system',"
            " '2026-01-02 03:04:05Z', false)"
        )
    wait_until(lambda: launchdb.run("workers", "--json").json["workers"], 60)
    assert launchdb.run("queues", "pause", "bulk").code == 0
    found = launchdb.run("status", "--json").json
    never = dict.fromkeys(("backup", "prune", "retention", "vacuum", "verify"))
    assert found["last"] == {**never, "vacuum-platform": "2026-01-02T03:04:05.000Z"}
    since = {service["name"]: service["since"] for service in found["services"]}
    assert since["postgres"] < since["worker"] == found["workers"][0]["startedAt"]
    told = launchdb.run("status").out
    assert told.startswith("WANTS ATTENTION")
    for words in (since["postgres"], since["worker"], "2026-01-02T03:04:05.000Z"):
        assert words in told


def test_status_shows_the_rest_while_redis_is_away(launchdb, operator, worker, unused_port):  # noqa: F811
    wait_until(lambda: launchdb.run("workers", "--json").json["workers"], 60)
    launchdb.environment["LAUNCHDB_REDIS_URL"] = f"redis://127.0.0.1:{unused_port}/0"
    found = launchdb.run("status", "--json")
    services = {service["name"]: service["status"] for service in found.json["services"]}
    assert (found.code, services["redis"], services["postgres"], services["worker"]) == (1, "down", "up", "up")
    assert "redis is down" in found.err
    assert [queue["name"] for queue in found.json["queues"]] == ["bulk", "control"]


def test_status_names_projects_without_a_fresh_backup(launchdb, home, infra, operator):
    old, young, lucky = (add_project(infra, status="active") for _ in range(3))
    with infra.database.autocommit() as tx:
        tx.execute("UPDATE owners SET created_at = now() - interval '5 days'")
        tx.execute("UPDATE projects SET created_at = now() - interval '3 days' WHERE id IN (%s, %s)", (old, lucky))
        tx.execute(
            "INSERT INTO backups (id, scope, stem, format, key_id, finished_at) VALUES"
            " ('bkp_1', %s, 'a', 'sql.gz', 'k', now()), ('bkp_2', 'platform', 'b', 'sql.gz', 'k', now())",
            (lucky,),
        )
    found = launchdb.run("status", "--json").json["attention"]
    assert [(row["what"], row["subject"]) for row in found] == [("no fresh backup", old)]
    assert young not in str(found)
    with infra.database.autocommit() as tx:
        schedules.declare(tx, offsite=True)
    found = launchdb.run("status", "--json").json["attention"]
    elsewhere = {row["subject"] for row in found if row["what"] == "no fresh copy elsewhere"}
    assert elsewhere == {old, lucky, "platform"}
