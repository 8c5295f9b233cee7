"""Rotation through the API: a new secret takes the place of the old one, and no request fails on the way."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import psycopg
import pytest

from catalog import names
from infra import tokens
from tests.app.test_bad_input import problem
from tests.app.test_project_settings import app, engine, owner, project  # noqa: F401 - fixtures
from tests.app.test_settings_take_effect import TABLES, Clients

DAY = 24 * 3600


@pytest.fixture
def rest(project):  # noqa: F811 - a fixture
    return f"/project/{project.rpartition('/')[2]}/rest/v1"


@pytest.fixture
def known(owner, project):  # noqa: F811 - fixtures
    """How to connect before anything is rotated, to a project with tables."""
    shown = owner.get(f"{project}/connection").json()
    with psycopg.connect(shown["databaseUrl"], autocommit=True) as login:
        login.execute(TABLES)
    return shown


@pytest.fixture
def rotate(owner, project, engine):  # noqa: F811 - fixtures
    """Rotates a secret to the end; returns the job's result."""

    def make(secret, **more):
        answer = owner.post(f"{project}/rotate", json={"secret": secret, **more})
        assert answer.status_code == 202, answer.text
        engine.runner.drain()
        job = owner.get(f"/api/jobs/{answer.json()['job']['id']}").json()
        assert job["status"] == "succeeded", job
        return job["result"]

    return make


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


def retire(infra, engine, project):  # noqa: F811 - a path
    """Let the grace time be over."""
    scope = project.rpartition("/")[2]
    with infra.database.autocommit() as tx:
        tx.execute("UPDATE secrets SET expires_at = now() WHERE scope = %s AND expires_at > now()", (scope,))
        tx.execute("UPDATE jobs SET run_at = now(), claim_after = now() WHERE kind = 'project.retire_secret'")
    engine.runner.drain()


def test_no_request_fails_while_the_passwords_change(owner, project, known, rest, rotate, town):  # noqa: F811
    client = town.stranger(apikey=known["serviceRoleKey"]).client
    with Clients(client, rest) as clients, Askers(town.stranger(**owner.headers).client, project) as askers:
        for _ in range(5):
            time.sleep(0.2)
            assert rotate("databasePassword") == {
                "projectId": project.rpartition("/")[2], "secret": "databasePassword", "oldGoodUntil": None,
            }  # fmt: skip
    assert (clients.wrong, askers.wrong) == ([], [])
    assert clients.answered > 100
    assert askers.answered > 15
    fresh = owner.get(f"{project}/connection").json()
    assert fresh["databaseUrl"] != known["databaseUrl"]
    assert {**fresh, "databaseUrl": ""} == {**known, "databaseUrl": ""}, "the API keys stay"
    psycopg.connect(fresh["databaseUrl"]).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(known["databaseUrl"])


def test_every_login_has_a_new_password(infra, project, known, rotate):  # noqa: F811 - a fixture
    scope = project.rpartition("/")[2]
    verifiers = "SELECT rolname, rolpassword FROM pg_authid WHERE rolname LIKE %s AND rolcanlogin"
    with psycopg.connect(infra.database.conninfo) as admin:
        before = dict(admin.execute(verifiers, (f"{scope}%",)).fetchall())
        rotate("databasePassword")
        after = dict(admin.execute(verifiers, (f"{scope}%",)).fetchall())
    assert set(before) == set(after) == set(names.roles(scope).logins)
    assert all(before[login] != after[login] for login in before)
    file = (infra.settings.instances_folder / scope / "data-api.conf").read_text()
    assert "before" not in file, "the old password is nowhere any more"
    with infra.database.autocommit() as tx:
        versions = tx.rows("SELECT name FROM secrets WHERE scope = %s GROUP BY name HAVING count(*) > 1", (scope,))
    assert versions == []


def test_a_request_under_way_and_a_session_of_the_owners_outlive_a_new_password(known, rest, rotate, town):
    client, found = town.stranger(apikey=known["serviceRoleKey"]).client, []
    with psycopg.connect(known["databaseUrl"], autocommit=True) as login:
        nap = threading.Thread(
            target=lambda: found.append(client.post(f"{rest}/rpc/nap", json={"seconds": 2}).json()), daemon=True
        )
        nap.start()
        time.sleep(0.3)
        rotate("databasePassword")
        nap.join(30)
        assert found == [1]
        assert login.execute("SELECT 1").fetchone() == (1,)


def test_old_keys_are_good_until_their_grace_time_is_over_and_no_longer(
    owner, project, known, rest, rotate, town, infra, engine  # noqa: F811 - fixtures
):  # fmt: skip
    old = town.stranger(apikey=known["serviceRoleKey"]).client
    with Clients(old, rest) as clients:
        result = rotate("jwtSecret")
        ends = datetime.fromisoformat(result["oldGoodUntil"])
        assert DAY - 60 < (ends - datetime.now(UTC)).total_seconds() <= DAY
        fresh = owner.get(f"{project}/connection").json()
        assert fresh["databaseUrl"] == known["databaseUrl"]
        assert {fresh["anonKey"], fresh["serviceRoleKey"]}.isdisjoint({known["anonKey"], known["serviceRoleKey"]})
        new = town.stranger(apikey=fresh["serviceRoleKey"]).client
        with Clients(new, rest) as others:
            time.sleep(0.5)
        assert others.wrong == []
    assert clients.wrong == []
    assert clients.answered > 100
    retire(infra, engine, project)
    refused = old.get(f"{rest}/things")
    assert (refused.status_code, refused.json()["message"]) == (401, "Invalid API key")
    mixed = new.get(f"{rest}/things", headers={"Authorization": f"Bearer {known['serviceRoleKey']}"})
    assert mixed.status_code == 401
    assert new.get(f"{rest}/things").status_code == 200
    file = (infra.settings.instances_folder / project.rpartition("/")[2] / "data-api.conf").read_text()
    assert '"keys"' not in file, "there is one key again"
    with infra.database.autocommit() as tx:
        ended = tx.rows("SELECT kind, status FROM jobs ORDER BY seq DESC LIMIT 2")
    assert {(row["kind"], row["status"]) for row in ended} == {
        ("project.retire_secret", "succeeded"), ("project.configure", "succeeded"),
    }  # fmt: skip


def test_an_old_key_ends_by_the_clock_though_no_worker_lives(owner, project, known, rest, rotate, town, engine):  # noqa: F811
    old = town.stranger(apikey=known["anonKey"]).client
    rotate("jwtSecret", graceSeconds=2)
    assert old.get(f"{rest}/").status_code == 200
    time.sleep(2.1)
    assert old.get(f"{rest}/").status_code == 401
    fresh = owner.get(f"{project}/connection").json()
    assert town.stranger(apikey=fresh["anonKey"]).client.get(f"{rest}/").status_code == 200


def test_without_grace_the_old_keys_end_with_the_rotation(owner, project, known, rest, rotate, town, infra):  # noqa: F811
    old = town.stranger(apikey=known["anonKey"]).client
    assert rotate("jwtSecret", graceSeconds=0)["oldGoodUntil"] is None
    assert old.get(f"{rest}/").status_code == 401
    fresh = owner.get(f"{project}/connection").json()
    assert town.stranger(apikey=fresh["anonKey"]).client.get(f"{rest}/").status_code == 200
    with infra.database.autocommit() as tx:
        assert tx.value("SELECT count(*) FROM jobs WHERE kind = 'project.retire_secret'") == 0


def test_tokens_of_signed_in_users_follow_the_secret_that_signed_them(
    project, known, rest, rotate, town, infra, engine  # noqa: F811 - fixtures
):  # fmt: skip
    scope = project.rpartition("/")[2]
    with infra.database.autocommit() as tx:
        from catalog import secrets

        secret = secrets.read(tx, infra.vault, scope, names.JWT_SECRET)
    claims = {"role": "authenticated", "db_role": names.roles(scope).authenticated, "exp": int(time.time()) + 3600}
    bearer = {"Authorization": f"Bearer {tokens.sign(claims, secret)}"}
    rotate("jwtSecret")
    rotate("jwtSecret")
    fresh = town.stranger(apikey=known["anonKey"]).client  # two rotations ago, and still in its grace time
    assert fresh.get(f"{rest}/", headers=bearer).status_code == 200
    retire(infra, engine, project)
    assert fresh.get(f"{rest}/", headers=bearer).status_code == 401


def test_a_paused_project_is_rotated_and_stays_closed(owner, project, known, rest, rotate, engine, town):  # noqa: F811
    owner.post(f"{project}/pause", json={})
    engine.runner.drain()
    rotate("databasePassword")
    rotate("jwtSecret", graceSeconds=0)
    town.app.extensions["launchdb"].statuses.clear()
    assert town.stranger(apikey=known["anonKey"]).client.get(f"{rest}/").status_code == 503
    owner.post(f"{project}/resume", json={})
    engine.runner.drain()
    town.app.extensions["launchdb"].statuses.clear()
    fresh = owner.get(f"{project}/connection").json()
    assert town.stranger(apikey=known["anonKey"]).client.get(f"{rest}/").status_code == 401
    assert town.stranger(apikey=fresh["serviceRoleKey"]).client.get(f"{rest}/things").status_code == 200
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
        ({"secret": "databasePassword", "graceSeconds": 60}, ""),
        ({"secret": "jwtSecret", "value": "of my own"}, "/value"),
    ],
)
def test_what_cannot_be_rotated_is_refused_by_name(owner, project, body, pointer):  # noqa: F811 - fixtures
    refused = problem(owner.post(f"{project}/rotate", json=body), 422)
    assert pointer in [error["pointer"] for error in refused["errors"]]


def test_a_rotation_under_way_is_answered_and_another_one_waits_its_turn(owner, project, engine):  # noqa: F811
    first = owner.post(f"{project}/rotate", json={"secret": "jwtSecret"}).json()["job"]["id"]
    assert owner.post(f"{project}/rotate", json={"secret": "jwtSecret"}).json()["job"]["id"] == first
    refused = problem(owner.post(f"{project}/rotate", json={"secret": "databasePassword"}), 409)
    assert refused["type"] == "/problems/project-busy"
    engine.runner.drain()
    # The old secret's retirement is due tomorrow, and in nobody's way.
    shown = owner.get(project).json()
    assert (shown["status"], shown["currentJob"]) == ("active", None)
    assert owner.post(f"{project}/pause", json={}).status_code == 202
    engine.runner.drain()
    assert owner.get(project).json()["status"] == "paused"


def test_a_deleted_project_leaves_no_retirement_behind(owner, project, rotate, engine, infra):  # noqa: F811 - fixtures
    rotate("jwtSecret")
    owner.delete(project)
    engine.runner.drain()
    with infra.database.autocommit() as tx:
        assert tx.value("SELECT status FROM jobs WHERE kind = 'project.retire_secret'") == "cancelled"
        assert tx.value("SELECT count(*) FROM secrets WHERE scope = %s", (project.rpartition("/")[2],)) == 0


def test_who_rotated_what_is_audited_without_a_secret(owner, project, known, rotate):  # noqa: F811 - fixtures
    rotate("jwtSecret", graceSeconds=60)
    line = next(line for line in owner.get(f"{project}/audit").json()["audit"] if line["action"] == "project.rotate")
    assert line["detail"]["secret"] == "jwtSecret"
    assert line["detail"]["graceSeconds"] == 60
    fresh = owner.get(f"{project}/connection").json()
    assert fresh["anonKey"] not in str(owner.get(f"{project}/audit").json())


def test_nobody_else_rotates_it(project, town):  # noqa: F811 - a fixture
    assert town.owner().post(f"{project}/rotate", json={"secret": "jwtSecret"}).status_code == 404
    assert town.stranger().post(f"{project}/rotate", json={"secret": "jwtSecret"}).status_code == 401
