"""Scale to zero as clients meet it: a first request is held and answered, what is no client wakes nobody."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest

from catalog import names, secrets
from jobs.requests import lifecycle
from tests.app.test_bad_input import problem
from tests.app.test_lifecycle import project, services  # noqa: F401 - fixtures
from tests.fixtures.servers import wait_until

ORIGIN = {"Origin": "https://a.example.org"}
PREFLIGHT = {**ORIGIN, "Access-Control-Request-Method": "POST"}


def put_to_sleep(engine, infra, project_id, folder):
    with infra.database.autocommit() as tx:
        tx.execute(
            """INSERT INTO project_settings (project_id, settings) VALUES (%s, '{"idleMinutes": 1}') ON CONFLICT DO NOTHING""",
            (project_id,),
        )
        tx.execute("UPDATE projects SET updated_at = now() - interval '1 hour' WHERE id = %s", (project_id,))
        tx.execute("UPDATE jobs SET finished_at = now() - interval '1 hour'")
    os.utime(folder / project_id / "last-request", (0, 0))
    with infra.database.transaction() as tx:
        lifecycle.sleep(tx, project_id)
    engine.runner.drain()
    with infra.database.autocommit() as tx:
        assert tx.value("SELECT status FROM projects WHERE id = %s", (project_id,)) == "sleeping"


@pytest.fixture
def asleep(owner, project, engine, infra, settings, town):  # noqa: F811 - fixtures
    """The connection of a project that sleeps, with its id."""
    known = owner.get(f"{project}/connection").json()
    project_id = project.rpartition("/")[2]
    put_to_sleep(engine, infra, project_id, settings.instances_folder)
    town.app.extensions["launchdb"].statuses.clear()
    return {**known, "id": project_id}


@pytest.fixture
def worker(engine):
    """An engine that works all the time."""
    stop = threading.Event()

    def work():
        while not stop.is_set():
            engine.runner.run_one()
            time.sleep(0.02)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield engine
    stop.set()
    thread.join(30)


def wakes(town):
    return len(town.rows("SELECT id FROM jobs WHERE kind = 'project.wake'"))


@pytest.mark.timing
def test_a_first_request_is_held_and_answered(asleep, worker, town):
    client = town.stranger(apikey=asleep["serviceRoleKey"])
    started = time.monotonic()
    answer = client.post(f"/project/{asleep['id']}/rest/v1/rpc/none", json={})
    assert (answer.status_code, answer.json()["code"]) == (404, "PGRST202"), "the project itself has answered"
    assert time.monotonic() - started < 5
    assert wakes(town) == 1
    (row,) = town.rows("SELECT status FROM projects")
    assert row["status"] == "active"


def test_many_first_requests_make_one_start(asleep, worker, town):
    client = town.stranger(apikey=asleep["anonKey"])
    paths = [f"/project/{asleep['id']}/rest/v1/none", f"/db/{asleep['id']}/none"] * 3
    with ThreadPoolExecutor(6) as pool:
        statuses = {answer.status_code for answer in pool.map(client.get, paths)}
    assert statuses == {404}
    assert wakes(town) == 1


def test_more_than_may_wait_are_told_to_come_again(asleep, town, settings):
    client = town.stranger(apikey=asleep["anonKey"])
    held = settings.api_threads // 4
    with ThreadPoolExecutor(held + 2) as pool:
        answers = list(pool.map(client.get, [f"/project/{asleep['id']}/rest/v1/none"] * (held + 2)))
    assert {answer.status_code for answer in answers} == {503}, "nobody works here"
    assert sorted(answer.headers["Retry-After"] for answer in answers)[:2] == ["1", "1"]
    assert wakes(town) == 1


def test_a_key_that_has_ended_wakes_nobody(asleep, town):
    with town.infra.database.autocommit() as tx:
        secret = secrets.read_all(tx, town.infra.vault, asleep["id"])[names.JWT_SECRET]
    ended = jwt.encode({"role": "anon", "exp": 1}, secret, algorithm="HS256")
    for path, headers in (
        (f"/project/{asleep['id']}/rest/v1/t", {"apikey": ended}),
        (f"/db/{asleep['id']}/t", {"Authorization": f"Bearer {ended}"}),
    ):
        status = town.stranger(**headers).get(path).status_code
        assert status == 401, "A key that has ended wakes no project"
    assert wakes(town) == 0


@pytest.mark.timing
def test_what_is_no_client_wakes_nobody_and_hears_at_once(asleep, town):
    rest, plain = f"/project/{asleep['id']}/rest/v1", f"/db/{asleep['id']}"
    key = {"apikey": asleep["anonKey"]}
    foreign = {"apikey": asleep["anonKey"][:-4] + "AAAA"}
    started = time.monotonic()
    for method, path, headers, status in (
        ("HEAD", f"{rest}/t", key, 503),
        ("GET", f"{rest}/", key, 503),
        ("GET", f"{rest}/t", {}, 401),
        ("GET", f"{rest}/t", foreign, 401),
        ("GET", f"{plain}/", {}, 503),
        ("HEAD", f"{plain}/t", {}, 503),
        ("GET", f"{plain}/t", {"User-Agent": "Mozilla/5.0 (compatible; Googlebot/2.1)"}, 503),
        ("GET", f"{plain}/t", {"User-Agent": "UptimeRobot/2.0"}, 503),
        ("GET", f"{plain}/t", {"Authorization": "Bearer x.y.z"}, 401),
        ("OPTIONS", f"{rest}/t", PREFLIGHT, 200),
        ("GET", f"/project/{asleep['id']}/", {}, 200),
    ):
        answer = town.stranger(**headers, **({} if "Origin" in headers else ORIGIN)).client.request(method, path)
        assert answer.status_code == status, (method, path, answer.text)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        if status == 503:
            assert int(answer.headers["Retry-After"]) > 0
    assert time.monotonic() - started < 3
    assert wakes(town) == 0


def test_an_owner_sees_that_it_sleeps_asks_it_by_sql_and_resumes_it(asleep, owner, worker):
    path = f"/api/projects/{asleep['id']}"
    assert owner.get(path).json()["status"] == "sleeping"
    assert owner.post(f"{path}/sql", json={"query": "SELECT 1 AS one"}).status_code == 200
    assert problem(owner.post(f"{path}/restart", json={}), 409)["detail"] == "the project is sleeping"
    answer = owner.post(f"{path}/resume", json={}, headers={"Prefer": "wait=30"})
    assert (answer.status_code, answer.json()["project"]["status"]) == (200, "active")
    assert answer.json()["job"]["kind"] == "project.wake"


def test_a_missing_data_api_is_made_anew_while_requests_are_held(owner, project, worker, infra, town):  # noqa: F811
    key = owner.get(f"{project}/connection").json()["serviceRoleKey"]
    project_id = project.rpartition("/")[2]

    def ask(_number=0):
        return town.stranger(apikey=key).post(f"/project/{project_id}/rest/v1/rpc/none", json={}).json()["code"]

    assert ask() == "PGRST202"
    infra.instances.remove(project_id)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(ask, range(4))) == {"PGRST202"}, "the project itself has answered"
    healed = "SELECT args FROM jobs WHERE kind = 'project.reconcile'"
    assert [row["args"]["found"] for row in town.rows(healed)] == [["its data API does not answer"]]
    # A job that is still at work would make it anew once more.
    wait_until(lambda: not town.rows(f"{healed} AND finished_at IS NULL"), 20)
    infra.instances.remove(project_id)
    assert (
        town.stranger(apikey=key).get(f"/project/{project_id}/rest/v1/none", headers={"Accept": "*/*"}).status_code
        == 503
    )
    assert len(town.rows(healed)) == 1, "what was just tried is left to the sweep"
