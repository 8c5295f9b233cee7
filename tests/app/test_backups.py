"""Backups through the API: asked for, listed, fetched, proven, restored, and nobody else's."""

from __future__ import annotations

import hashlib

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.platform.operations.internal import create_internal_app
from tests.app.test_bad_input import problem
from tests.app.test_openapi import check
from tests.app.test_project_settings import project, services  # noqa: F401 - fixtures

pytestmark = pytest.mark.gpg


class Desk:
    """An owner with an active project, and an engine that does what is asked."""

    def __init__(self, owner, project, engine, town):  # noqa: F811 - a path
        self.owner, self.path, self.engine, self.town = owner, project, engine, town
        self.id = project.rpartition("/")[2]
        self.document = town.stranger().get("/api/openapi.json").json()

    def do(self, method, path, status=202, **more):
        """Ask for a job and let it be done; return it."""
        answer = self.owner.request(method, path, **more)
        assert answer.status_code == status, answer.text
        self.engine.runner.drain()
        return self.owner.get(f"/api/jobs/{answer.json()['job']['id']}").json()

    def sql(self, query):
        return self.owner.post(f"{self.path}/sql", json={"query": query}).json()

    def back_up(self):
        job = self.do("POST", f"{self.path}/backups", json={})
        assert job["status"] == "succeeded", job
        return self.owner.get(f"{self.path}/backups/{job['result']['backupId']}").json()


def refused(answer, status, kind):
    """Expect a problem of this status and type."""
    problem(answer, status)
    assert answer.json()["type"] == f"/problems/{kind}"


@pytest.fixture
def desk(owner, project, engine, town):  # noqa: F811 - fixtures
    made = Desk(owner, project, engine, town)
    made.sql("CREATE TABLE notes AS SELECT n FROM generate_series(1, 100) n")
    return made


def test_a_backup_is_asked_for_listed_and_fetched(desk, tmp_path):
    backup = desk.back_up()
    answer = desk.owner.get(f"{desk.path}/backups")
    check(desk.document, "get", "/api/projects/{project_id}/backups", answer)
    assert answer.json() == {"backups": [backup], "nextCursor": None}
    assert backup["file"].startswith(f"{desk.id}_")
    fetched = desk.owner.get(f"{desk.path}/backups/{backup['id']}/file")
    assert (fetched.status_code, fetched.headers["Content-Type"]) == (200, "application/octet-stream")
    assert backup["file"] in fetched.headers["Content-Disposition"]
    assert len(fetched.content) == backup["bytes"]
    assert hashlib.sha256(fetched.content).hexdigest() == backup["sha256"]
    part = desk.owner.get(f"{desk.path}/backups/{backup['id']}/file", headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.content) == (206, fetched.content[:10])


def test_a_backup_is_verified_and_deleted(desk):
    backup = desk.back_up()
    job = desk.do("POST", f"{desk.path}/backups/{backup['id']}/verify", json={})
    assert (job["status"], job["result"]["rows"]) == ("succeeded", 101), "of Storage there is one that counts"
    assert desk.owner.get(f"{desk.path}/backups/{backup['id']}").json()["verifiedAt"]
    assert desk.do("DELETE", f"{desk.path}/backups/{backup['id']}")["status"] == "succeeded"
    assert desk.owner.get(f"{desk.path}/backups").json()["backups"] == []
    refused(desk.owner.get(f"{desk.path}/backups/{backup['id']}"), 404, "backup-not-found")


def test_a_project_goes_back_and_back_again(desk):
    backup = desk.back_up()
    desk.sql("DELETE FROM notes")
    job = desk.do("POST", f"{desk.path}/backups/{backup['id']}/restore", json={"into": "same"})
    assert job["status"] == "succeeded", job
    assert desk.sql("SELECT count(*) FROM notes")["rows"] == [{"count": 100}]
    assert desk.do("POST", f"{desk.path}/undo-restore", json={})["status"] == "succeeded"
    assert desk.sql("SELECT count(*) FROM notes")["rows"] == [{"count": 0}]
    refused(desk.owner.post(f"{desk.path}/undo-restore", json={}), 409, "nothing-kept")
    refused(desk.owner.post(f"{desk.path}/keep-restore", json={}), 409, "nothing-kept")
    desk.do("POST", f"{desk.path}/backups/{backup['id']}/restore", json={})
    assert desk.do("POST", f"{desk.path}/keep-restore", json={})["status"] == "succeeded"
    refused(desk.owner.post(f"{desk.path}/undo-restore", json={}), 409, "nothing-kept")


def test_a_backup_becomes_a_new_project(desk):
    backup = desk.back_up()
    body = {"into": "new", "name": "twin"}
    job = desk.do("POST", f"{desk.path}/backups/{backup['id']}/restore", json=body)
    assert job["status"] == "succeeded", job
    twin = f"/api/projects/{job['projectId']}"
    assert desk.owner.get(twin).json()["status"] == "active"
    rows = desk.owner.post(f"{twin}/sql", json={"query": "SELECT count(*) FROM notes"}).json()["rows"]
    assert rows == [{"count": 100}]
    assert job["projectId"] != desk.id
    refused(desk.owner.post(f"{desk.path}/backups/{backup['id']}/restore", json=body), 409, "name-taken")
    assert desk.do("DELETE", f"{twin}?purge=true")["status"] == "succeeded"


def make_what_comes_back_nowhere_else(desk):
    """A table whose rows its own CHECK refuses in a database of another name."""
    for query in (
        f"CREATE FUNCTION here() RETURNS boolean LANGUAGE sql AS $$ SELECT current_database() = '{desk.id}' $$",
        "CREATE TABLE picky (id int PRIMARY KEY, CHECK (here())); INSERT INTO picky VALUES (1), (2)",
    ):
        assert "rows" in desk.sql(query)


def expect_all_but_that(desk, job):
    assert job["status"] == "succeeded", job
    assert any("picky" in line for line in job["result"]["lacking"])
    query = "SELECT (SELECT count(*) FROM notes) AS notes, (SELECT count(*) FROM picky) AS picky"
    found = desk.owner.post(f"/api/projects/{job['projectId']}/sql", json={"query": query}).json()
    assert found["rows"] == [{"notes": 100, "picky": 0}]


@pytest.mark.parametrize("body", [{"into": "same"}, {"into": "new", "name": "twin"}])
def test_what_does_not_come_back_is_said_and_left_out_when_that_is_agreed_to(desk, body):
    make_what_comes_back_nowhere_else(desk)
    path = f"{desk.path}/backups/{desk.back_up()['id']}/restore"
    said = desk.do("POST", path, json={**body, **({"name": "other"} if "name" in body else {})})
    assert said["status"] == "failed", said
    assert "picky" in said["error"]["detail"]
    expect_all_but_that(desk, desk.do("POST", path, json={**body, "partial": True}))


def test_a_deleted_project_comes_back_without_what_cannot_when_that_is_agreed_to(desk):
    make_what_comes_back_nowhere_else(desk)
    assert desk.do("DELETE", desk.path)["status"] == "succeeded"
    [last] = desk.owner.get("/api/projects/deleted").json()["backups"]
    expect_all_but_that(desk, desk.do("POST", "/api/projects/restore", json={"backupId": last["id"], "partial": True}))


def test_a_deleted_project_comes_back_by_its_last_backup(desk):
    keys = desk.owner.get(f"{desk.path}/connection").json()
    assert desk.do("DELETE", desk.path)["status"] == "succeeded"
    answer = desk.owner.get("/api/projects/deleted")
    check(desk.document, "get", "/api/projects/deleted", answer)
    [last] = answer.json()["backups"]
    assert (last["projectId"], last["final"]) == (desk.id, True)
    stranger = desk.town.owner()
    refused(stranger.post("/api/projects/restore", json={"backupId": last["id"]}), 404, "project-not-found")
    assert stranger.get("/api/projects/deleted").json() == {"backups": []}
    job = desk.do("POST", "/api/projects/restore", json={"backupId": last["id"]})
    assert job["status"] == "succeeded", job
    again = desk.owner.get(f"{desk.path}/connection").json()
    assert (again["anonKey"], again["serviceRoleKey"]) == (keys["anonKey"], keys["serviceRoleKey"])
    assert desk.sql("SELECT count(*) FROM notes")["rows"] == [{"count": 100}]
    refused(desk.owner.post("/api/projects/restore", json={"backupId": last["id"]}), 404, "project-not-found")


def test_a_purged_project_does_not_come_back(desk):
    desk.back_up()
    assert desk.do("DELETE", f"{desk.path}?purge=true")["status"] == "succeeded"
    assert desk.owner.get("/api/projects/deleted").json() == {"backups": []}


def test_nobody_sees_the_backups_of_another_owner(desk):
    backup = desk.back_up()
    stranger = desk.town.owner()
    one = f"{desk.path}/backups/{backup['id']}"
    for answer in (
        stranger.get(f"{desk.path}/backups"),
        stranger.get(one),
        stranger.get(f"{one}/file"),
        stranger.post(f"{one}/verify", json={}),
        stranger.post(f"{one}/restore", json={}),
        stranger.request("DELETE", one),
        stranger.post(f"{desk.path}/backups", json={}),
        stranger.post(f"{desk.path}/undo-restore", json={}),
    ):
        refused(answer, 404, "project-not-found")
    other = stranger.post("/api/projects", json={"name": "mine"}).json()["project"]["id"]
    desk.engine.runner.drain()
    for answer in (
        stranger.get(f"/api/projects/{other}/backups/{backup['id']}"),
        stranger.post(f"/api/projects/{other}/backups/{backup['id']}/restore", json={}),
    ):
        refused(answer, 404, "backup-not-found")
    stranger.request("DELETE", f"/api/projects/{other}?purge=true")
    desk.engine.runner.drain()


BAD = [
    ({"into": "elsewhere"}, 422),
    ({"into": "new"}, 422),
    ({"into": "same", "name": "x"}, 422),
    ({"into": "new", "name": "x\n"}, 422),
    ({"into": None}, 422),
    ({"more": 1}, 422),
]


@pytest.mark.parametrize(("body", "status"), BAD)
def test_a_restore_that_is_not_understood_is_refused(body, status, desk):
    backup = desk.back_up()
    assert desk.owner.post(f"{desk.path}/backups/{backup['id']}/restore", json=body).status_code == status


@pytest.mark.parametrize("name", ["bkp_", "nonsense", "bkp_" + "0" * 32, "%00", "..%2f..", "bkp_" + "0" * 31 + "%0a"])
def test_an_id_that_is_none_is_not_found(name, desk):
    for answer in (desk.owner.get(f"{desk.path}/backups/{name}"), desk.owner.get(f"{desk.path}/backups/{name}/file")):
        assert answer.status_code == 404
    assert desk.owner.post("/api/projects/restore", json={"backupId": name}).status_code in (404, 422)


def test_operators_see_how_far_back_everything_could_be_brought(desk):
    boss = desk.town.owner(operator=True)
    refused(desk.owner.get("/api/admin/backups"), 404, "not-found")
    answer = boss.post("/api/admin/backups", json={})
    assert answer.status_code == 202
    desk.engine.runner.drain()
    job = boss.get(f"/api/jobs/{answer.json()['job']['id']}").json()
    assert (job["status"], job["result"]["backedUp"] >= 2, job["result"]["failed"]) == ("succeeded", True, [])
    found = boss.get("/api/admin/backups")
    check(desk.document, "get", "/api/admin/backups", found)
    lines = {row["projectId"]: row for row in found.json()["report"]}
    assert lines[desk.id]["rpoSeconds"] < 60
    assert (lines[desk.id]["backups"], lines[desk.id]["rtoSeconds"]) == (1, None)
    assert found.json()["backups"][0]["file"].startswith("platform_")


def test_a_projects_figures_say_when_it_was_backed_up_last(desk):
    assert desk.owner.get(f"{desk.path}/stats").json()["lastBackup"] is None
    backup = desk.back_up()
    assert desk.owner.get(f"{desk.path}/stats").json()["lastBackup"] == backup["createdAt"]


def test_metrics_tell_of_whoever_is_worst_off(desk):
    inside = create_internal_app(desk.town.app).test_client()

    def figures():
        families = text_string_to_metric_families(inside.get("/metrics").text)
        return {family.name: family.samples[0].value for family in families if "backup" in family.name}

    assert figures() == {"launchdb_projects_without_backup": 2, "launchdb_backups_faulty": 0}
    desk.back_up()
    found = figures()
    assert found["launchdb_projects_without_backup"] == 1, "the platform has none"
    assert 0 <= found["launchdb_backup_age_seconds"] < 60
    assert "launchdb_backup_verified_age_seconds" not in found
