"""Auth beside the platform API, as clients of a project meet it: served, woken, paused, gone."""

from __future__ import annotations

import os
import time

import pytest
from prometheus_client import generate_latest

from catalog import names, secrets
from infra.instances.activity import auth_marks, idle_seconds
from infra.secrets import tokens
from tests.app.test_lifecycle import project  # noqa: F401 - a fixture
from tests.app.test_sleep import put_to_sleep, wakes, worker  # noqa: F401 - fixtures
from tests.fixtures.servers import wait_until

VERSION = {"X-Supabase-Api-Version": "2024-01-01"}
BOT = {"User-Agent": "UptimeRobot/2.0"}


@pytest.fixture
def services():
    """What the application serves."""
    return ("platform", "data", "auth")


class Shop:
    """A project with its keys, asked as clients ask."""

    def __init__(self, owner, path, town) -> None:
        self.owner, self.path, self.id, self.town = owner, path, path.rpartition("/")[2], town
        self.keys = owner.get(f"{path}/connection").json()

    def auth(self, method, path, key="anonKey", **headers):
        known = {"apikey": self.keys[key], "Authorization": f"Bearer {self.keys[key]}"} if key else {}
        sent = {**known, **VERSION, **headers}
        return self.town.stranger(**sent).client.request(method, f"/project/{self.id}/auth/v1{path}")

    def plain(self, path, **headers):
        return self.town.stranger(**headers).client.get(f"/auth/{self.id}{path}")


@pytest.fixture
def shop(owner, project, town):  # noqa: F811 - a fixture
    """An active project."""
    return Shop(owner, project, town)


@pytest.fixture
def asleep(shop, engine, infra, settings, town):
    """The same, asleep."""
    put_to_sleep(engine, infra, shop.id, settings.instances_folder)
    town.app.extensions["launchdb"].statuses.clear()
    return shop


def test_both_addresses_answer_and_the_one_of_clients_asks_for_a_key_first(shop):
    assert shop.auth("GET", "/health", key=None).status_code == 200
    assert shop.plain("/health").status_code == 200
    refused = shop.auth("GET", "/user", key=None)
    assert (refused.status_code, refused.json()["code"]) == (401, "no_api_key")
    nobody = shop.auth("GET", "/user", Origin="https://app.example.org")
    assert (nobody.status_code, nobody.json()["code"]) == (403, "bad_jwt"), "the key itself is no user's"
    assert nobody.headers["Access-Control-Allow-Origin"] == "*"
    assert nobody.headers["X-Supabase-Api-Version"] == VERSION["X-Supabase-Api-Version"]


def test_a_request_to_auth_wakes_a_sleeping_project_and_is_answered(asleep, worker, town):  # noqa: F811 - a fixture
    answer = asleep.auth("GET", "/user")
    assert (answer.status_code, answer.json()["code"]) == (403, "bad_jwt"), "Auth itself has answered"
    assert wakes(town) == 1
    wait_until(lambda: town.rows("SELECT status FROM projects") == [{"status": "active"}])
    rest = town.stranger(apikey=asleep.keys["anonKey"]).get(f"/project/{asleep.id}/rest/v1/none")
    assert rest.json()["code"] == "PGRST205", "and its data API is there as well"


def test_a_link_out_of_a_mail_wakes_it_though_it_bears_no_key(asleep, worker, town):  # noqa: F811 - a fixture
    asleep.auth("GET", "/verify?token=x&type=signup", key=None, **{"User-Agent": "Mozilla/5.0"})
    assert wakes(town) == 1


@pytest.mark.parametrize(
    ("path", "key", "headers", "status"),
    [
        ("/health", "anonKey", {}, 503),
        ("/user", None, {}, 401),
        ("/user", "anonKey", {"apikey": "x.y.z"}, 401),
        ("/verify?token=x&type=signup", None, BOT, 503),
    ],
)
def test_who_only_looks_or_has_no_key_wakes_nobody(asleep, town, path, key, headers, status):
    answer = asleep.auth("GET", path, key, **headers)
    assert answer.status_code == status, answer.text
    assert answer.json()["code"] in ("unavailable", "no_api_key", "invalid_api_key", "not_found")
    assert wakes(town) == 0


def test_a_paused_project_says_so_and_a_deleted_one_is_not_there(shop, engine, town):
    statuses = town.app.extensions["launchdb"].statuses
    assert shop.owner.post(f"{shop.path}/pause", json={}).status_code == 202
    engine.runner.drain()
    statuses.clear()
    paused = shop.auth("GET", "/user")
    assert (paused.status_code, paused.json()) == (503, {"code": "unavailable", "message": "The project is paused"})
    assert paused.headers["Retry-After"] == "5"
    assert shop.owner.delete(shop.path).status_code == 202
    statuses.clear()
    gone = shop.auth("GET", "/user")
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")


def test_a_changed_setting_counts_with_the_next_request_and_no_session_ends(shop, engine, infra):
    projects = shop.town.app.blueprints["auth"].projects
    with projects.find(shop.id).autocommit() as tx:
        before = tx.value("SELECT pg_backend_pid()")
    assert shop.owner.patch(f"{shop.path}/settings", json={"signUp": False}).status_code == 202
    engine.runner.drain()
    assert projects.find(shop.id).settings.sign_up is False
    with projects.find(shop.id).autocommit() as tx:
        assert tx.value("SELECT pg_backend_pid()") == before


def test_a_key_of_another_project_is_refused(shop, infra):
    other = tokens.sign_token({"role": "service_role", "exp": int(time.time()) + 60}, "k" * 43)
    assert shop.auth("GET", "/user", apikey=other).json()["code"] == "invalid_api_key"


def test_asking_auth_counts_as_use_of_the_project_and_looking_does_not(shop, settings):
    mark = auth_marks(settings) / shop.id
    shop.auth("GET", "/health")
    assert not mark.exists()
    shop.auth("GET", "/settings")
    assert mark.exists()
    os.utime(settings.instances_folder / shop.id / "last-request", (0, 0))
    assert idle_seconds(settings, shop.id) < 60


def test_what_it_refuses_is_counted_by_its_word_and_by_no_project(shop, town):
    shop.auth("GET", "/user")
    told = generate_latest(town.app.extensions["launchdb"].metrics.registry).decode()
    assert 'launchdb_auth_refusals_total{code="bad_jwt"} 1.0' in told
    assert shop.id not in told


def test_the_statements_of_auth_are_bounded_and_find_nothing_of_the_owner_s_by_chance(shop, infra):
    projects = shop.town.app.blueprints["auth"].projects
    with projects.find(shop.id).autocommit() as tx:
        shown = [tx.value(f"SHOW {name}") for name in ("search_path", "statement_timeout", "lock_timeout")]
    assert shown == ["pg_catalog, pg_temp", "20s", "5s"]
    with infra.database.autocommit() as tx:
        assert names.MAIL_KEY in secrets.read_all(tx, infra.vault, shop.id)
