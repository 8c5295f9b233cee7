"""Rotation through the API: a new secret takes the place of the old one, and no request fails on the way."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import psycopg
import pytest

from catalog import names, secrets
from infra.secrets import tokens
from tests.app.test_bad_input import problem
from tests.app.test_project_settings import project, services  # noqa: F401 - fixtures
from tests.app.test_settings_take_effect import TABLES, Clients

DAY = 24 * 3600


class Shop:
    """An active project with tables: its owner, how to connect before anything is rotated, and its rotations."""

    def __init__(self, owner, project, engine, town):  # noqa: F811 - a path
        self.owner, self.path, self.id, self.engine, self.town = (
            owner,
            project,
            project.rpartition("/")[2],
            engine,
            town,
        )
        self.rest = f"/project/{self.id}/rest/v1"
        self.known = self.connection()
        with psycopg.connect(self.known["databaseUrl"], autocommit=True) as login:
            login.execute(TABLES)

    def connection(self):
        return self.owner.get(f"{self.path}/connection").json()

    def client(self, key):
        return self.town.stranger(apikey=key).client

    def post(self, what, body):
        return self.owner.post(f"{self.path}/{what}", json=body)

    def rotate(self, secret, **more):
        """Rotate a secret to the end; return the job's result."""
        answer = self.post("rotate", {"secret": secret, **more})
        assert answer.status_code == 202, answer.text
        self.engine.runner.drain()
        job = self.owner.get(f"/api/jobs/{answer.json()['job']['id']}").json()
        assert job["status"] == "succeeded", job
        return job["result"]

    def go(self, what):
        """Pause or resume it."""
        assert self.post(what, {}).status_code == 202
        self.engine.runner.drain()
        self.town.app.extensions["launchdb"].statuses.clear()

    def grace_is_over(self, infra):
        with infra.database.autocommit() as tx:
            tx.execute("UPDATE secrets SET expires_at = now() WHERE scope = %s AND expires_at > now()", (self.id,))
            tx.execute("UPDATE jobs SET run_at = now(), claim_after = now() WHERE kind = 'project.retire_secret'")
        self.engine.runner.drain()

    def configuration(self, infra):
        return (infra.settings.instances_folder / self.id / "data-api.conf").read_text()


@pytest.fixture
def shop(owner, project, engine, town):  # noqa: F811 - fixtures
    return Shop(owner, project, engine, town)


class Nappers(Clients):
    """Clients of which each holds a connection for a while."""

    def _ask(self):
        while not self._stop.is_set():
            answer = self.client.post(f"{self.rest}/rpc/nap", json={"seconds": 0.05})
            self.answered += 1
            if answer.status_code != 200:
                self.wrong.append((answer.status_code, answer.text))


class Askers(Clients):
    """An owner who asks the platform for things that need one of the project's logins."""

    def __init__(self, client, project):  # noqa: F811 - a path
        super().__init__(client, project, count=1)

    def _ask(self):
        while not self._stop.is_set():
            for answer in (
                self.client.post(f"{self.rest}/sql", json={"query": "SELECT count(*) FROM things"}),
                self.client.get(f"{self.rest}/stats"),
                self.client.get(f"{self.rest}/extensions"),
            ):
                self.answered += 1
                if answer.status_code != 200:
                    self.wrong.append((answer.status_code, answer.text))
            time.sleep(0.01)


def test_no_request_fails_while_the_passwords_change(shop):
    client = shop.client(shop.known["serviceRoleKey"])
    with (
        Clients(client, shop.rest) as clients,
        Askers(shop.town.stranger(**shop.owner.headers).client, shop.path) as askers,
    ):
        for _ in range(5):
            time.sleep(0.2)
            assert shop.rotate("databasePassword") == {
                "projectId": shop.id, "secret": "databasePassword", "oldGoodUntil": None,
            }  # fmt: skip
    assert (clients.wrong, askers.wrong) == ([], [])
    assert clients.answered > 100
    assert askers.answered > 15
    fresh = shop.connection()
    assert fresh["databaseUrl"] != shop.known["databaseUrl"]
    assert {**fresh, "databaseUrl": ""} == {**shop.known, "databaseUrl": ""}, "the API keys stay"
    psycopg.connect(fresh["databaseUrl"]).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(shop.known["databaseUrl"])


def test_a_pool_that_is_as_large_as_it_may_be_is_renewed_without_a_failure(shop):
    """Sessions that are being closed still count against the project's limit when the new ones begin."""
    shop.owner.patch(shop.path, json={"poolSize": 30})
    shop.owner.patch(f"{shop.path}/settings", json={"connections": 10})
    shop.engine.runner.drain()
    with Nappers(shop.client(shop.known["serviceRoleKey"]), shop.rest, count=20) as clients:
        for _ in range(6):
            time.sleep(0.3)
            shop.rotate("databasePassword")
    assert clients.wrong == []
    assert clients.answered > 100


def test_every_login_has_a_new_password(shop, infra):
    scope = shop.id
    verifiers = "SELECT rolname, rolpassword FROM pg_authid WHERE rolname LIKE %s AND rolcanlogin"
    with psycopg.connect(infra.database.conninfo) as admin:
        before = dict(admin.execute(verifiers, (f"{scope}%",)).fetchall())
        shop.rotate("databasePassword")
        after = dict(admin.execute(verifiers, (f"{scope}%",)).fetchall())
    assert set(before) == set(after) == set(names.roles(scope).logins)
    assert all(before[login] != after[login] for login in before)
    assert "before" not in shop.configuration(infra), "the old password is nowhere any more"
    with infra.database.autocommit() as tx:
        versions = tx.rows("SELECT name FROM secrets WHERE scope = %s GROUP BY name HAVING count(*) > 1", (scope,))
    assert versions == []


def test_a_request_under_way_and_a_session_of_the_owners_outlive_a_new_password(shop):
    client, found = shop.client(shop.known["serviceRoleKey"]), []
    with psycopg.connect(shop.known["databaseUrl"], autocommit=True) as login:
        nap = threading.Thread(
            target=lambda: found.append(client.post(f"{shop.rest}/rpc/nap", json={"seconds": 2}).json()), daemon=True
        )
        nap.start()
        time.sleep(0.3)
        shop.rotate("databasePassword")
        nap.join(30)
        assert found == [1]
        assert login.execute("SELECT 1").fetchone() == (1,)


def test_old_keys_are_good_until_their_grace_time_is_over_and_no_longer(shop, infra):
    old = shop.client(shop.known["serviceRoleKey"])
    with Clients(old, shop.rest) as clients:
        result = shop.rotate("jwtSecret")
        ends = datetime.fromisoformat(result["oldGoodUntil"])
        assert DAY - 60 < (ends - datetime.now(UTC)).total_seconds() <= DAY
        fresh = shop.connection()
        assert fresh["databaseUrl"] == shop.known["databaseUrl"]
        assert {fresh["anonKey"], fresh["serviceRoleKey"]}.isdisjoint(
            {shop.known["anonKey"], shop.known["serviceRoleKey"]}
        )
        new = shop.client(fresh["serviceRoleKey"])
        with Clients(new, shop.rest) as others:
            time.sleep(0.5)
        assert others.wrong == []
    assert clients.wrong == []
    assert clients.answered > 100
    shop.grace_is_over(infra)
    refused = old.get(f"{shop.rest}/things")
    assert (refused.status_code, refused.json()["message"]) == (401, "Invalid API key")
    mixed = new.get(f"{shop.rest}/things", headers={"Authorization": f"Bearer {shop.known['serviceRoleKey']}"})
    assert mixed.status_code == 401
    assert new.get(f"{shop.rest}/things").status_code == 200
    assert '"keys"' not in shop.configuration(infra), "there is one key again"
    with infra.database.autocommit() as tx:
        ended = tx.rows("SELECT kind, status FROM jobs ORDER BY seq DESC LIMIT 2")
    assert {(row["kind"], row["status"]) for row in ended} == {
        ("project.retire_secret", "succeeded"), ("project.configure", "succeeded"),
    }  # fmt: skip


def test_an_old_key_ends_by_the_clock_though_no_worker_lives(shop):
    old = shop.client(shop.known["anonKey"])
    shop.rotate("jwtSecret", graceSeconds=2)
    assert old.get(f"{shop.rest}/").status_code == 200
    time.sleep(2.1)
    assert old.get(f"{shop.rest}/").status_code == 401
    fresh = shop.connection()
    assert shop.client(fresh["anonKey"]).get(f"{shop.rest}/").status_code == 200


def test_without_grace_the_old_keys_end_with_the_rotation(shop, infra):
    old = shop.client(shop.known["anonKey"])
    assert shop.rotate("jwtSecret", graceSeconds=0)["oldGoodUntil"] is None
    assert old.get(f"{shop.rest}/").status_code == 401
    fresh = shop.connection()
    assert shop.client(fresh["anonKey"]).get(f"{shop.rest}/").status_code == 200
    with infra.database.autocommit() as tx:
        assert tx.value("SELECT count(*) FROM jobs WHERE kind = 'project.retire_secret'") == 0


def test_tokens_of_signed_in_users_follow_the_secret_that_signed_them(shop, infra):
    scope = shop.id
    with infra.database.autocommit() as tx:
        secret = secrets.read(tx, infra.vault, scope, names.JWT_SECRET)
    claims = {"role": "authenticated", "db_role": names.roles(scope).authenticated, "exp": int(time.time()) + 3600}
    bearer = {"Authorization": f"Bearer {tokens.sign_token(claims, secret)}"}
    shop.rotate("jwtSecret")
    shop.rotate("jwtSecret")
    fresh = shop.client(shop.known["anonKey"])  # two rotations ago, and still in its grace time
    assert fresh.get(f"{shop.rest}/", headers=bearer).status_code == 200
    shop.grace_is_over(infra)
    assert fresh.get(f"{shop.rest}/", headers=bearer).status_code == 401


def test_a_paused_project_is_rotated_and_stays_closed(shop):
    shop.go("pause")
    shop.rotate("databasePassword")
    shop.rotate("jwtSecret", graceSeconds=0)
    assert shop.client(shop.known["anonKey"]).get(f"{shop.rest}/").status_code == 503
    shop.go("resume")
    fresh = shop.connection()
    assert shop.client(shop.known["anonKey"]).get(f"{shop.rest}/").status_code == 401
    assert shop.client(fresh["serviceRoleKey"]).get(f"{shop.rest}/things").status_code == 200
    psycopg.connect(fresh["databaseUrl"]).close()


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/secret"),
        ({"secret": "masterKey"}, "/secret"),
        ({"secret": None}, "/secret"),
        ({"secret": "jwtSecret", "graceSeconds": -1}, "/graceSeconds"),
        ({"secret": "jwtSecret", "graceSeconds": 30 * DAY + 1}, "/graceSeconds"),
        ({"secret": "jwtSecret", "graceSeconds": "60"}, "/graceSeconds"),
        ({"secret": "jwtSecret", "graceSeconds": 1.5}, "/graceSeconds"),
        ({"secret": "jwtSecret", "grace_seconds": 60}, "/grace_seconds"),
        ({"secret": "databasePassword", "graceSeconds": 60}, "/"),
        ({"secret": "jwtSecret", "value": "of my own"}, "/value"),
    ],
)
def test_what_cannot_be_rotated_is_refused_by_name(owner, project, body, pointer):  # noqa: F811 - fixtures
    refused = problem(owner.post(f"{project}/rotate", json=body), 422)
    assert pointer in [error["pointer"] for error in refused["errors"]]


def test_a_rotation_under_way_is_answered_and_another_one_waits_its_turn(shop):
    first = shop.post("rotate", {"secret": "jwtSecret"}).json()["job"]["id"]
    assert shop.post("rotate", {"secret": "jwtSecret"}).json()["job"]["id"] == first
    refused = problem(shop.post("rotate", {"secret": "databasePassword"}), 409)
    assert refused["type"] == "/problems/project-busy"
    shop.engine.runner.drain()
    # The old secret's retirement is due tomorrow, and in nobody's way.
    shown = shop.owner.get(shop.path).json()
    assert (shown["status"], shown["currentJob"]) == ("active", None)
    shop.go("pause")
    assert shop.owner.get(shop.path).json()["status"] == "paused"


@pytest.mark.gpg
def test_a_deleted_project_leaves_no_retirement_behind(shop, infra):
    shop.rotate("jwtSecret")
    shop.owner.delete(shop.path)
    shop.engine.runner.drain()
    with infra.database.autocommit() as tx:
        assert tx.value("SELECT status FROM jobs WHERE kind = 'project.retire_secret'") == "cancelled"
        assert tx.value("SELECT count(*) FROM secrets WHERE scope = %s", (shop.id,)) == 0


def test_who_rotated_what_is_audited_without_a_secret(shop):
    shop.rotate("jwtSecret", graceSeconds=60)
    line = next(
        line for line in shop.owner.get(f"{shop.path}/audit").json()["audit"] if line["action"] == "project.rotate"
    )
    assert line["detail"]["secret"] == "jwtSecret"
    assert line["detail"]["graceSeconds"] == 60
    fresh = shop.connection()
    assert fresh["anonKey"] not in str(shop.owner.get(f"{shop.path}/audit").json())


def test_nobody_else_rotates_it(shop):
    assert shop.town.owner().post(f"{shop.path}/rotate", json={"secret": "jwtSecret"}).status_code == 404
    assert shop.town.stranger().post(f"{shop.path}/rotate", json={"secret": "jwtSecret"}).status_code == 401
