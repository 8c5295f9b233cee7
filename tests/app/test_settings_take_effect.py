"""Settings take effect under running requests: none fails, nothing is restarted, no connection is cut."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest

from tests.app.test_project_settings import project, services  # noqa: F401 - fixtures

TABLES = """
CREATE TABLE things AS SELECT generate_series(1, 20) AS id;
CREATE SCHEMA shop; GRANT USAGE ON SCHEMA shop TO service_role;
CREATE TABLE shop.goods (id int); INSERT INTO shop.goods VALUES (1); GRANT SELECT ON shop.goods TO service_role;
CREATE FUNCTION nap(seconds float) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1 FROM pg_sleep(seconds)';
CREATE FUNCTION pid() RETURNS int LANGUAGE sql STABLE AS 'SELECT pg_backend_pid()';
"""


class Clients:
    """Clients that ask for the same table until they are told to stop; what went wrong is kept."""

    def __init__(self, client, rest, count=3):
        self.client, self.rest = client, rest
        self.answered, self.wrong = 0, []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(count)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _ask(self):
        while not self._stop.is_set():
            answer = self.client.get(f"{self.rest}/things?select=id&limit=2")
            self.answered += 1
            if answer.status_code != 200:
                self.wrong.append((answer.status_code, answer.text))
            time.sleep(0.002)


@pytest.fixture
def live(owner, project, town):  # noqa: F811 - a fixture
    """A client with the service key, and the address of the project's data API."""
    known = owner.get(f"{project}/connection").json()
    with psycopg.connect(known["databaseUrl"], autocommit=True) as login:
        login.execute(TABLES)
    client = town.stranger(apikey=known["serviceRoleKey"]).client
    return client, f"/project/{project.rpartition('/')[2]}/rest/v1", known["databaseUrl"]


@pytest.fixture
def change(owner, project, engine):  # noqa: F811 - fixtures
    def make(**changes):
        answer = owner.patch(f"{project}/settings", json=changes)
        assert answer.status_code == 202, answer.text
        engine.runner.drain()
        found = owner.get(f"{project}/settings").json()
        assert found["appliedVersion"] == found["version"] == answer.json()["version"]

    return make


def test_each_change_is_seen_by_the_next_request_and_no_request_fails(live, change):
    client, rest, url = live
    origin = {"Origin": "https://evil.example"}
    with Clients(client, rest) as clients, psycopg.connect(url, autocommit=True) as login:
        assert len(client.get(f"{rest}/things").json()) == 20
        change(maxRows=3)
        assert len(client.get(f"{rest}/things").json()) == 3
        assert client.get(f"{rest}/goods", headers={"Accept-Profile": "shop"}).status_code == 406
        change(schemas=["public", "shop"], maxRows=None)
        assert client.get(f"{rest}/goods", headers={"Accept-Profile": "shop"}).json() == [{"id": 1}]
        assert client.get(f"{rest}/goods", headers={"Accept-Profile": "storage"}).status_code == 406
        assert client.get(f"{rest}/things", headers=origin).headers["Access-Control-Allow-Origin"] == "*"
        change(corsOrigins=["https://app.example.org"])
        asked = {**origin, "Access-Control-Request-Method": "POST"}
        for answer in (
            client.get(f"{rest}/things", headers=origin),
            client.get(f"{rest}/nothing", headers=origin),
            client.options(f"{rest}/things", headers=asked),
        ):
            assert "Access-Control-Allow-Origin" not in answer.headers
        allowed = client.get(f"{rest}/things", headers={"Origin": "https://app.example.org"})
        assert allowed.headers["Access-Control-Allow-Origin"] == "https://app.example.org"
        change(bodyBytes=1024)
        assert client.post(f"{rest}/things", content=b"[" + b" " * 1024 + b"]").status_code == 413
        assert client.post(f"{rest}/rpc/nap", json={"seconds": 1.5}).json() == 1
        change(statementSeconds=1, idleTransactionSeconds=30, tempMb=64, connections=20)
        assert client.post(f"{rest}/rpc/nap", json={"seconds": 1.5}).json()["code"] == "57014"
        change(statementSeconds=None)
        assert client.post(f"{rest}/rpc/nap", json={"seconds": 1.5}).json() == 1
        assert login.execute("SELECT 1").fetchone() == (1,), "a session of the owner's stays"
    assert clients.wrong == []
    assert clients.answered > 100


def test_a_request_under_way_ends_as_it_began(live, change):
    client, rest, _ = live
    found = []
    thread = threading.Thread(
        target=lambda: found.append(client.post(f"{rest}/rpc/nap", json={"seconds": 2.5})), daemon=True
    )
    thread.start()
    time.sleep(0.3)
    change(statementSeconds=1)
    thread.join(30)
    assert found[0].json() == 1


def test_connections_are_kept_unless_their_limits_changed(live, change, town):
    client, rest, _ = live

    def pid():
        return client.get(f"{rest}/rpc/pid").json()

    first = pid()
    change(maxRows=50)
    assert pid() == first
    change(statementSeconds=60)
    assert pid() != first


def test_a_rate_is_kept_and_raised_again_at_once(live, change):
    client, rest, _ = live
    change(ratePerMinute=3)
    # At most two minutes of the clock can be touched.
    answers = [client.get(f"{rest}/things", headers={"Origin": "https://a.example.org"}) for _ in range(8)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert answers[0].status_code == 200
    assert len(refused) >= 2
    assert refused[0].json()["code"] == "429"
    assert 0 < int(refused[0].headers["Retry-After"]) <= 60
    assert refused[0].headers["RateLimit-Limit"] == "3"
    assert refused[0].headers["Access-Control-Allow-Origin"] == "*", "a browser may read why"
    change(ratePerMinute=None)
    assert client.get(f"{rest}/things").status_code == 200


def test_the_pool_leaves_connections_to_the_other_logins(owner, project, live, change, engine, settings):  # noqa: F811
    owner.patch(project, json={"poolSize": 30})
    change(connections=10)
    file = settings.instances_folder / project.rpartition("/")[2] / "data-api.conf"
    assert "db-pool = 7\n" in file.read_text()


def test_aggregates_plans_and_the_end_of_transactions_are_the_projects_own(live, change):
    client, rest, url = live
    with psycopg.connect(url, autocommit=True) as login:
        login.execute(
            "CREATE SCHEMA helpers; GRANT USAGE ON SCHEMA helpers TO service_role;"
            "CREATE FUNCTION helpers.twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * n';"
            "CREATE FUNCTION four() RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN RETURN twice(2); END'"
        )
    plan, undone = {"Accept": "application/vnd.pgrst.plan+json"}, {"Prefer": "tx=rollback"}
    assert client.get(f"{rest}/things?select=count()").status_code == 400
    assert client.get(f"{rest}/things", headers=plan).status_code == 406
    assert client.get(f"{rest}/rpc/four").status_code == 404
    assert client.delete(f"{rest}/things?id=eq.1", headers=undone).status_code == 204
    assert client.get(f"{rest}/things?id=eq.1").json() == []
    change(aggregates=True, queryPlans=True, transactionEnd="commit-allow-override", extraSearchPath=["helpers"])
    assert client.get(f"{rest}/things?select=count()").json() == [{"count": 19}]
    assert "Plan" in client.get(f"{rest}/things", headers=plan).json()[0]
    assert client.get(f"{rest}/rpc/four").json() == 4
    assert client.delete(f"{rest}/things?id=eq.2", headers=undone).status_code == 204
    assert client.get(f"{rest}/things?id=eq.2").json() == [{"id": 2}]
    change(aggregates=None, queryPlans=None, transactionEnd="rollback", extraSearchPath=None)
    assert client.get(f"{rest}/things?select=count()").status_code == 400
    assert client.delete(f"{rest}/things?id=eq.2").status_code == 204
    assert client.get(f"{rest}/things?id=eq.2").json() == [{"id": 2}]
