"""An API of several processes: together they are one server, and the end of one is nobody else's."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import signal
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from app.data.serve.process_part import ProcessPart
from app.server.shared import data_project
from tests.app.server import served
from tests.fixtures.servers import wait_until

PROCESSES, POOL, SECRET = 2, 5, "a-secret-of-the-project-0123456789abcdef"
TABLES = """
CREATE TABLE things (id int PRIMARY KEY, name text);
INSERT INTO things SELECT id, 'thing ' || id FROM generate_series(1, 100) id;
CREATE FUNCTION slow() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1 FROM pg_sleep(0.05)';
GRANT SELECT ON things TO "{id}_anon";
"""


@pytest.fixture
def served_project(tenant, settings):
    """A project with a table whose data API is configured."""
    with tenant.as_admin() as admin:
        admin.execute(TABLES.replace("{id}", tenant.id))
    return configured(tenant, settings)


def configured(tenant, settings, **options):
    folder = settings.instances_folder / tenant.id
    folder.mkdir(parents=True, exist_ok=True)
    told = {
        "db-uri": tenant.uri(tenant.roles.authenticator), "db-anon-role": tenant.roles.anon, "jwt-secret": SECRET,
        "db-pool": POOL, **options,
    }  # fmt: skip
    lines = [f"{name} = {json.dumps(value)}" for name, value in told.items()]
    (folder / ".new").write_text("\n".join(["# test", *lines, ""]))
    (folder / ".new").rename(folder / "data-api.conf")
    return tenant


@contextmanager
def api(settings, **more):
    with served(settings, "all", LAUNCHDB_API_PROCESSES=str(PROCESSES), **more) as url:
        wait_until(lambda: len(children(url.pid)) == PROCESSES)
        yield url


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def kept(url, count):
    """Connections that are kept."""
    place = urllib.parse.urlsplit(url)
    with ExitStack() as stack:
        found = [http.client.HTTPConnection(place.hostname, place.port, timeout=30) for _ in range(count)]
        for connection in found:
            stack.callback(connection.close)
            connection.connect()
        yield found


def ask(connection, path, method="GET", body=None, headers=None):
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    return answer.status, answer.read()


def lives(connection, path):
    """Whether a connection that is kept is still there; it is not opened anew."""
    connection.auto_open = 0
    try:
        return ask(connection, path)[0] == 200
    except (http.client.HTTPException, OSError):
        return False


def connections_of(url, pid):
    """How many clients a process has on the server's port."""
    inodes = set()
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(str(handle.readlink()).removeprefix("socket:[").removesuffix("]"))
        except OSError:
            continue
    port = f":{urllib.parse.urlsplit(url).port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(port) and row[3] == "01" and row[9] in inodes for row in rows)


def test_connections_for_data_are_shared_out_evenly_and_then_stay_where_they_are(town, settings, served_project):
    path = f"/db/{served_project.id}/things?id=eq.7"
    with api(settings) as url, kept(url, 8) as clients:
        for _ in range(3):
            assert {ask(client, path) for client in clients} == {(200, b'[{"id":7,"name":"thing 7"}]')}
        shares = {pid: connections_of(url, pid) for pid in children(url.pid)}
        assert sorted(shares.values()) == [4, 4]
        for _ in range(20):
            assert {ask(client, path)[0] for client in clients} == {200}
        assert {pid: connections_of(url, pid) for pid in children(url.pid)} == shares


@pytest.mark.parametrize("which", [0, 1], ids=["the one that serves the rest", "one that serves data alone"])
def test_a_process_that_is_killed_is_started_again_and_its_sibling_answers_meanwhile(
    town, settings, served_project, which
):
    path = f"/db/{served_project.id}/things?id=eq.7"
    with api(settings) as url, kept(url, 8) as clients:
        for _ in range(3):
            assert {ask(client, path)[0] for client in clients} == {200}
        victim = sorted(children(url.pid))[which]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: victim not in children(url.pid))
        assert sorted(lives(client, path) for client in clients) == [False] * 4 + [True] * 4
        with kept(url, 4) as others:
            assert {ask(client, path)[0] for client in others} == {200}
        wait_until(lambda: len(children(url.pid)) == PROCESSES)
        with kept(url, 8) as others:
            # What only one process serves waits until that is there again.
            assert {ask(client, "/api/health")[0] for client in others} == {200}
            wait_until(lambda: is_shared_out(url, others, path))


def is_shared_out(url, clients, path):
    assert {ask(client, path)[0] for client in clients} == {200}
    return min(connections_of(url, pid) for pid in children(url.pid)) >= len(clients) // 2 - 1


def test_a_kept_connection_gets_whatever_it_asks_for_by_turns(town, settings, served_project):
    data, signin = f"/db/{served_project.id}/things?select=id&limit=1", "/api/auth/login"
    wrong = json.dumps({"email": "nobody@example.org", "password": "x" * 20_000})
    turns = [
        ("GET", data, None, 200), ("GET", "/api/health", None, 200), ("POST", signin, wrong, (401, 422)),
        ("GET", data, None, 200), ("GET", "/api/nothing", None, 404), ("GET", f"/auth/{served_project.id}/health", None, None),
        ("HEAD", data, None, 200), ("GET", f"/project/{served_project.id}/rest/v1/things", None, 401),
    ]  # fmt: skip
    with api(settings) as url, kept(url, 6) as clients:
        for (method, path, body, status), client in itertools.product(turns * 2, clients):
            found, _ = ask(client, path, method, body, {"Content-Type": "application/json"} if body else None)
            assert status is None or found == status or (isinstance(status, tuple) and found in status), (path, found)


def test_the_processes_open_no_more_connections_than_the_projects_pool_has(town, settings, served_project):
    with served_project.as_admin() as admin:
        admin.execute(f'GRANT EXECUTE ON FUNCTION slow() TO "{served_project.roles.anon}"')
        seen = set()
        with api(settings) as url, kept(url, 24) as clients, ThreadPoolExecutor(24) as pool:
            calls = [pool.submit(hammer, client, f"/db/{served_project.id}/rpc/slow") for client in clients]
            while not all(call.done() for call in calls):
                seen.add(opened(admin, served_project))
            assert {status for call in calls for status in call.result()} == {200}
            assert max(seen) == POOL
            # A smaller pool is kept to as soon as it is configured.
            configured(served_project, settings, **{"db-pool": 1})
            assert {ask(client, f"/db/{served_project.id}/things?id=eq.1")[0] for client in clients} == {200}
            wait_until(lambda: opened(admin, served_project) <= 1)


def hammer(client, path):
    return [ask(client, path, "POST", "{}", {"Content-Type": "application/json"})[0] for _ in range(8)]


def opened(admin: psycopg.Connection, tenant) -> int:
    query = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s"
    return admin.execute(query, (tenant.roles.authenticator,)).fetchone()[0]


def test_requests_are_counted_for_all_processes_together(town, settings, served_project):
    configured(served_project, settings, **{"launchdb-rate-per-minute": 50})
    path = f"/db/{served_project.id}/things?id=eq.7"
    with api(settings) as url, kept(url, 8) as clients:
        minutes = {int(time.time() // 60)}
        found = [ask(client, path)[0] for _ in range(10) for client in clients]
        minutes.add(int(time.time() // 60))
        assert set(found) == {200, 429}
        assert 50 <= found.count(200) <= 50 * len(minutes)


def test_what_one_is_asked_for_tells_of_all(town, settings, served_project):
    path = f"/db/{served_project.id}/things?id=eq.7"
    wanted = 'launchdb_http_requests_total{method="GET",route="/db/<project_id>/<path:path>",status="200"} 40.0'
    transport = httpx.HTTPTransport(uds=str(settings.run_folder / "api" / "internal.sock"))
    with api(settings) as url, kept(url, 8) as clients:
        for _ in range(5):
            assert {ask(client, path)[0] for client in clients} == {200}
        with httpx.Client(transport=transport, base_url="http://internal") as internal:
            wait_until(lambda: wanted in internal.get("/metrics").text)
        lines = [json.loads(line) for line in (settings.home / "api.log").read_text().splitlines() if line[:1] == "{"]
        logged = [line for line in lines if line.get("event") == "request" and line.get("project_id")]
        assert len(logged) == 40
        assert len({line["request_id"] for line in logged}) == 40


def test_parts_of_a_pool_are_never_more_than_it_and_whoever_serves_has_one():
    for count, pool, number in itertools.product(range(1, 17), range(1, 40), range(5)):
        project = f"proj_{number:016x}"
        parts = [ProcessPart(slot, count).of_pool(project, pool) for slot in range(count)]
        places = ProcessPart(0, count).places(project, pool)
        assert sum(parts) == pool
        assert [slot for slot, part in enumerate(parts) if part] == sorted(places)
        assert sum(ProcessPart(slot, count).of_budget(60) for slot in range(count)) == 60


def test_requests_for_data_are_known_by_their_path_as_it_was_sent():
    project = "proj_0123456789abcdef"
    for path in (
        f"/db/{project}",
        f"/db/{project}/",
        f"/project/{project}/rest/v1/t",
        f"http://a/db/{project}/t",
        f"/%64b/{project}/t",
    ):
        assert data_project(path) == project
    for path in (
        "/db/other/t",
        f"/project/{project}/auth/v1/user",
        f"/storage/{project}/x",
        f"/project/{project}/rest/v11",
        "/",
        "",
    ):
        assert data_project(path) is None
