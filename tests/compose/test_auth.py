"""Auth in containers, through Caddy: people sign up, come back, see their own rows, and wake a project that sleeps."""

from __future__ import annotations

import re
import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest

from infra.host import docker_cli
from scripts.stack.stack import NAMES
from tests.compose.test_sleep import containers, let_be_idle
from tests.compose.test_stack import created, finished, keys, operator  # noqa: F401 - one is a fixture
from tests.fixtures.installation import wait_for

pytestmark = pytest.mark.docker
PASSWORD = "a horse that nobody staples"
TABLE = """
CREATE TABLE diary (id int PRIMARY KEY, owner uuid NOT NULL DEFAULT auth.uid(), body text);
ALTER TABLE diary ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON diary TO authenticated USING (owner = auth.uid()) WITH CHECK (owner = auth.uid());
GRANT ALL ON diary TO authenticated;
"""
AT_ONCE, MEMORY_MB = 50, 300


class Shop:
    """A project, and its users' requests."""

    def __init__(self, installation, operator) -> None:  # noqa: F811 - a fixture
        self.id = created(operator, f"auth {secrets.token_hex(4)}")["id"]
        self.anon = operator.get(f"/api/projects/{self.id}/connection").json()["anonKey"]
        self.installation, self.operator = installation, operator

    def ask(self, method, path, *, bearer="", below="auth/v1", **more):
        headers = {**keys(self.anon), **({"Authorization": f"Bearer {bearer}"} if bearer else {})}
        with self.installation.http(timeout=60) as client:
            return client.request(method, f"/project/{self.id}/{below}{path}", headers=headers, **more)

    def person(self):
        email = f"{secrets.token_hex(5)}@example.com"
        answer = self.ask("POST", "/signup", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return {"email": email, **answer.json()}


@pytest.fixture(scope="module")
def shop(installation):
    """A project of the operator's."""
    signed_in = installation.signed_in()
    made = Shop(installation, signed_in)
    yield made
    finished(signed_in, signed_in.delete(f"/api/projects/{made.id}", params={"purge": "true"}))
    signed_in.close()


def test_people_sign_up_come_back_and_see_their_own_rows_alone(shop):
    sql = shop.operator.post(f"/api/projects/{shop.id}/sql", json={"query": TABLE})
    assert sql.status_code == 200, sql.text
    ann, bob = shop.person(), shop.person()
    assert shop.ask("GET", "/user", bearer=ann["access_token"]).json()["email"] == ann["email"]
    wrote = lambda who, number: shop.ask(  # noqa: E731 - twice, with the same words
        "POST", "/diary", bearer=who["access_token"], below="rest/v1", json={"id": number, "body": "mine"}
    )
    wait_for(lambda: wrote(ann, 1).status_code in (201, 409), 20)
    assert wrote(bob, 2).status_code == 201
    for who, number in ((ann, 1), (bob, 2)):
        rows = shop.ask("GET", "/diary?select=id", bearer=who["access_token"], below="rest/v1")
        assert rows.json() == [{"id": number}]
    again = shop.ask("POST", "/token?grant_type=refresh_token", json={"refresh_token": ann["refresh_token"]})
    assert again.json()["user"]["id"] == ann["user"]["id"]
    known = {"email": ann["email"], "password": PASSWORD}
    assert shop.ask("POST", "/token?grant_type=password", json=known).status_code == 200
    wrong = shop.ask("POST", "/token?grant_type=password", json={**known, "password": "another"})
    assert (wrong.status_code, wrong.json()["error_code"]) == (400, "invalid_credentials")


def test_the_other_address_and_what_is_open_need_no_key_and_everything_else_does(shop):
    with shop.installation.http() as client:
        below = f"/project/{shop.id}/auth/v1"
        for path in ("/health", "/.well-known/jwks.json", "/.well-known/openid-configuration"):
            assert client.get(f"{below}{path}").status_code == 200, path
        # No project is an OAuth server, which is said to everybody.
        told = client.get(f"{below}/.well-known/oauth-authorization-server")
        assert (told.status_code, "error_code" in told.json()) == (404, True)
        assert client.get(f"{below}/user").status_code == 401
        assert client.get(f"/auth/{shop.id}/health").status_code == 200
        assert client.get("/auth/proj_0000000000000000/settings").status_code == 404


def test_a_setting_counts_at_once_and_no_container_is_restarted(shop):
    since = {one.name: one.since for one in shop.installation.stack.containers()}
    changed = shop.operator.patch(
        f"/api/projects/{shop.id}/settings", json={"signUp": False}, headers={"Prefer": "wait=30"}
    )
    assert changed.status_code == 200, changed.text
    refused = shop.ask("POST", "/signup", json={"email": "eve@example.com", "password": PASSWORD})
    assert (refused.status_code, refused.json()["error_code"]) == (422, "signup_disabled")
    shop.operator.patch(f"/api/projects/{shop.id}/settings", json={"signUp": None}, headers={"Prefer": "wait=30"})
    assert {one.name: one.since for one in shop.installation.stack.containers()} == since


def test_a_sign_in_wakes_a_project_that_sleeps(shop):
    ann = shop.person()
    shop.operator.patch(f"/api/projects/{shop.id}/settings", json={"idleMinutes": 1}, headers={"Prefer": "wait=30"})
    (shop.installation.home / "run" / "auth" / shop.id).unlink(missing_ok=True)
    let_be_idle(shop.installation, shop.id)
    wait_for(lambda: containers(shop.id) == [], 60, "it does not fall asleep")
    answer = shop.ask("POST", "/token?grant_type=password", json={"email": ann["email"], "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    assert containers(shop.id) == ["running"]


def test_rotated_secrets_fail_no_refresh(shop):
    ann = shop.person()
    for secret in ("databasePassword", "jwtSecret"):
        body = {"secret": secret, **({"graceSeconds": 3600} if secret == "jwtSecret" else {})}
        job = shop.operator.post(f"/api/projects/{shop.id}/rotate", json=body)
        failed = []
        while True:
            answer = shop.ask("POST", "/token?grant_type=refresh_token", json={"refresh_token": ann["refresh_token"]})
            if answer.status_code != 200:
                failed.append(answer.text)
                break
            ann["refresh_token"] = answer.json()["refresh_token"]
            found = shop.operator.get(f"/api/jobs/{job.json()['job']['id']}").json()
            if found["status"] in ("succeeded", "failed"):
                break
        assert (failed, found["status"]) == ([], "succeeded")


@pytest.mark.timing
def test_fifty_sign_ins_at_once_stay_within_their_memory(shop):
    ann = shop.person()
    shop.operator.patch(
        f"/api/projects/{shop.id}/settings", json={"signInRatePerMinute": 300}, headers={"Prefer": "wait=30"}
    )
    known = {"email": ann["email"], "password": PASSWORD}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        asked = pool.map(lambda _: shop.ask("POST", "/token?grant_type=password", json=known), range(AT_ONCE))
        statuses = {answer.status_code for answer in asked}
    assert statuses <= {200, 429, 503}
    shown = docker_cli.run_docker("exec", NAMES["auth-service"], "sh", "-c", "cat /sys/fs/cgroup/memory.peak || true")
    peak = int(re.sub(r"\D", "", shown) or 0) / 1_000_000
    print(f"auth-service: {peak:.0f} MB at most")
    assert peak < MEMORY_MB
