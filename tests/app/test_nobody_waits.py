"""One project, owner or client that asks too much of the server: the others are answered as if they were not there."""

from __future__ import annotations

import socket
import statistics
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import httpx
import pytest

from tests.app.server import served
from tests.app.test_http import head
from tests.fixtures.forked import processes
from tests.fixtures.projects import stored_tenant
from tests.jobs.conftest import wait_until

HUGE = ("Content-Type: application/json", "Content-Length: 10737418240")
HEADS = 64


class Shop:
    """A project that answers, and its owner's client."""

    def __init__(self, town, engine, name) -> None:
        self.owner = town.owner()
        self.id = self.owner.project(name)["id"]
        engine.runner.drain()
        self.tenant = stored_tenant(town.infra, self.id)
        with self.tenant.connect(self.tenant.roles.owner) as session:
            session.execute(
                "CREATE TABLE held (n int); CREATE TABLE free (n int); INSERT INTO free VALUES (1);"
                "CREATE FUNCTION slow(seconds float) RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(seconds)';"
                "GRANT ALL ON held, free TO service_role; GRANT EXECUTE ON FUNCTION slow TO service_role"
            )
        self.key = self.owner.get(f"/api/projects/{self.id}/connection").json()["serviceRoleKey"]
        self.token = self.owner.client.headers["Authorization"]

    def client(self, url, **more):
        headers = {"apikey": self.key, "Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=f"{url}/project/{self.id}/rest/v1", headers=headers, **{"timeout": 10, **more})

    @contextmanager
    def lock(self):
        """Make whoever reads the table `held` wait until the block ends."""
        with self.tenant.connect(self.tenant.roles.owner) as session, session.transaction():
            session.execute("LOCK TABLE held")
            yield

    def sleeping(self):
        """Return how many sessions of the data API wait for that table."""
        with self.tenant.as_admin() as admin:
            return admin.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'", (self.id,)
            ).fetchone()[0]


@pytest.fixture
def shops(town, engine, settings):
    engine.infra.databases.prepare("test")
    return [Shop(town, engine, name) for name in ("a", "b")]


def ask_raw(url, text):
    parts = urllib.parse.urlsplit(url)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=10)
    connection.sendall(text.encode())
    return connection


def read_to_the_end(connection):
    """Return the answer, whose connection has to end with it."""
    raw = b""
    while chunk := connection.recv(65536):
        raw += chunk
    connection.close()
    return raw


def refused_and_closed(connections, status):
    for connection in connections:
        answer = read_to_the_end(connection)
        assert answer.split(b" ", 2)[1] == str(status).encode(), answer[:300]
        assert b"Connection: close" in answer


def test_who_announces_a_body_without_end_is_refused_and_holds_nothing(town, settings):
    bearing = f"Authorization: {town.owner().client.headers['Authorization']}"
    with served(settings, LAUNCHDB_API_THREADS="10") as url:
        for path, status in (("/api/auth/login", 413), ("/api/projects", 413), ("/none", 404)):
            # Two sign-ins have a thread here, and sixteen wait for one.
            crowd = [ask_raw(url, head("POST", path, *HUGE, bearing)) for _ in range(16)]
            assert httpx.get(f"{url}/api/health", timeout=5).status_code == 200
            refused_and_closed(crowd, status)


def test_one_owners_streams_and_waits_leave_others_theirs(town):
    a, b = town.owner(), town.owner()
    of_a, of_b = (f"/api/jobs/{person.project()['currentJob']}" for person in (a, b))
    slots = town.app.extensions["launchdb"].slots
    assert [slots.acquire(a.id) for _ in range(16)] == [True] * 8 + [False] * 8
    assert a.get(f"{of_a}/events").json()["type"] == "/problems/too-many-streams"
    assert a.post("/api/projects", json={"name": "x"}, headers={"Prefer": "wait=9"}).status_code == 202
    with b.client.stream("GET", f"{of_b}/events") as stream:
        assert stream.status_code == 200


def test_what_one_project_is_asked_too_much_holds_up_no_other(shops, settings):
    a, b = shops
    bearing = (f"apikey: {a.key}", f"Authorization: Bearer {a.key}")
    with (
        served(settings, "all", LAUNCHDB_API_THREADS="10", LAUNCHDB_API_PROCESSES="2") as url,
        ThreadPoolExecutor(25) as pool,
        a.client(url, timeout=30) as slow,
        b.client(url) as quick,
    ):
        assert [client.get("/free").status_code for client in (slow, quick)] == [200, 200]
        with a.lock():
            waiting = [pool.submit(slow.get, "/held") for _ in range(25)]
            wait_until(lambda: a.sleeping() == 3)
            # Three are in a thread, two of ten and one of five; all others would have had those that are left.
            assert {quick.get("/free").status_code for _ in range(20)} == {200}
            assert httpx.get(f"{url}/api/projects", headers={"Authorization": b.token}).status_code == 200
            assert a.sleeping() == 3, "no more of them than a fifth of the threads is in Postgres"
        assert {done.result().status_code for done in waiting} == {200}, "each has its turn"
        for path in (f"/project/{a.id}/rest/v1/free", f"/db/{a.id}/rpc/slow"):
            crowd = [ask_raw(url, head("POST", path, *HUGE, *bearing)) for _ in range(20)]
            assert quick.get("/free").status_code == 200
            refused_and_closed(crowd, 413)


def attack(name, url, project, key, token, job):
    """Ask so much of the server as one project, owner or client can, from a process of its own, until it is killed."""
    bearer = {"apikey": key, "Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=url, timeout=60, limits=httpx.Limits(max_connections=None)) as client:
        wrong = {"password": "a wrong password"}
        slow = f"/project/{project}/rest/v1/rpc/slow"
        ways = {
            "logins": lambda n: client.post("/api/auth/login", json={"email": f"{n}@example.org", **wrong}),
            "slow functions": lambda _: client.post(slow, json={"seconds": 2}, headers=bearer),
            "heads of huge bodies": lambda _: read_to_the_end(ask_raw(url, head("POST", "/api/auth/login", *HUGE))),
            "event streams": lambda _: client.get(f"/api/jobs/{job}/events", headers={"Authorization": token}),
        }

        def again_and_again(number):
            while True:
                with suppress(httpx.HTTPError, OSError):
                    ways[name](number)
                time.sleep(0.5)  # whoever wants the two cores that all have here can have them otherwise

        with ThreadPoolExecutor(ATTACKS[name]) as pool:
            list(pool.map(again_and_again, range(ATTACKS[name])))


def p95(client, seconds):
    """Ask twenty times a second, as one who behaves; return the 95th percentile."""
    took, until = [], time.monotonic() + seconds
    while (started := time.monotonic()) < until:
        assert client.get("/free").status_code == 200
        took.append(time.monotonic() - started)
        time.sleep(max(0.0, 0.05 - took[-1]))
    return statistics.quantiles(took, n=20)[-1]


# How many at a time.
ATTACKS = {"logins": 120, "slow functions": 100, "heads of huge bodies": 64, "event streams": 16}


@pytest.mark.timing
@pytest.mark.full
def test_while_one_attacks_another_waits_at_most_twice_as_long(shops, settings, capsys):
    """What is below ten milliseconds is as good as quiet."""
    a, b = shops
    job = a.owner.post(f"/api/projects/{a.id}/restart", json={}).json()["job"]["id"]  # nobody carries it out
    told = {}
    with served(settings, "all") as url, b.client(url) as client:
        for name in ATTACKS:
            quiet = p95(client, 5)
            attacker = processes.Process(target=attack, args=(name, url, a.id, a.key, a.token, job), daemon=True)
            attacker.start()
            time.sleep(2)
            busy = p95(client, 10)
            attacker.kill()
            attacker.join()
            told[name] = (round(quiet * 1000, 1), round(busy * 1000, 1))
    with capsys.disabled():
        print("\np95 in milliseconds, quiet and beside:", told)
    assert {name: pair for name, pair in told.items() if pair[1] > max(2 * pair[0], 10)} == {}
