"""S3 access keys of a project, from the owner's request to what Storage knows."""

from __future__ import annotations

import json

import pytest

from catalog import names, secrets
from jobs.backup import importing
from jobs.projects import access_keys
from tests.app.test_bad_input import problem
from tests.app.test_project_keys import Keyed
from tests.app.test_project_settings import project  # noqa: F401 - a fixture


@pytest.fixture
def shop(owner, project, engine, town, infra):  # noqa: F811 - fixtures
    return AccessKeyed(owner, project, engine, town, infra)


class AccessKeyed(Keyed):
    """A shop, and what is done with its access keys."""

    def __init__(self, owner, project, engine, town, infra):  # noqa: F811
        super().__init__(owner, project, engine, town)
        self.infra = infra

    def make(self, name="backups"):
        made = self.ask("storage/keys", {"name": name})
        return made["key"]["accessKeyId"], made["secretAccessKey"]

    def told(self):
        """Return what Storage knows."""
        return self.infra.storage.read(self.id)


def test_an_access_key_is_known_to_storage_until_it_is_revoked_alone(shop):
    one, other = shop.make("one"), shop.make("other")
    assert shop.told().access_keys == dict([one, other])
    answer = shop.owner.delete(f"{shop.path}/storage/keys/{one[0]}")
    assert answer.status_code == 202
    shop.engine.runner.drain()
    assert shop.told().access_keys == dict([other])
    listed = shop.owner.get(f"{shop.path}/storage/keys").json()["keys"]
    assert [(key["accessKeyId"], key["name"]) for key in listed] == [(other[0], "other")]
    again = shop.owner.delete(f"{shop.path}/storage/keys/{one[0]}")
    assert problem(again, 404)["type"].endswith("key-not-found")


def test_the_secret_is_shown_once_and_kept_sealed(shop, infra):
    key_id, secret = shop.make()
    assert secret not in shop.owner.get(f"{shop.path}/storage/keys").text
    audit = shop.owner.get(f"{shop.path}/audit").text
    assert secret not in audit
    assert "project.access_key_create" in audit
    assert key_id in audit
    with infra.database.autocommit() as tx:
        rows = tx.rows("SELECT * FROM secrets WHERE scope = %s", (shop.id,))
    assert secret.encode() not in b"".join(
        bytes(value) for row in rows for value in row.values() if type(value) is bytes
    )
    assert secret not in str(rows)


def test_a_repeated_request_makes_one_key_and_does_not_show_it_again(shop):
    headers = {"Idempotency-Key": "once"}
    first = shop.owner.post(f"{shop.path}/storage/keys", json={"name": "k"}, headers=headers).json()
    again = shop.owner.post(f"{shop.path}/storage/keys", json={"name": "k"}, headers=headers).json()
    assert first["key"] == again["key"]
    assert (bool(first["secretAccessKey"]), again["secretAccessKey"]) == (True, None)
    assert len(shop.owner.get(f"{shop.path}/storage/keys").json()["keys"]) == 1


def test_nobody_but_the_owner_has_to_do_with_them(shop, town):
    key_id, _ = shop.make()
    other = town.owner()
    for method, path, body in (("GET", "", None), ("POST", "", {"name": "k"}), ("DELETE", f"/{key_id}", None)):
        answer = other.client.request(method, f"{shop.path}/storage/keys{path}", json=body, headers=other.headers)
        assert answer.status_code == 404, method
    assert len(shop.owner.get(f"{shop.path}/storage/keys").json()["keys"]) == 1


def test_a_project_has_so_many_access_keys_and_no_more(shop, infra):
    with infra.database.transaction() as tx:
        for number in range(access_keys.MOST):
            access_keys.make(tx, infra.vault, shop.id, name=f"key {number}")
    answer = shop.owner.post(f"{shop.path}/storage/keys", json={"name": "one more"})
    assert problem(answer, 409)["type"].endswith("too-many-keys")


def test_access_keys_outlive_a_rotation_and_sessions_are_signed_by_both_keys_meanwhile(shop):
    made, before = shop.make(), shop.told().session_keys
    assert before == [shop.known["anonKey"]]
    shop.ask("rotate", {"secret": "jwtSecret", "graceSeconds": 3600})
    after = shop.told()
    assert after.access_keys == dict([made])
    assert sorted(after.session_keys) == sorted([*before, shop.owner.get(f"{shop.path}/connection").json()["anonKey"]])
    assert len(set(after.session_keys)) == 2
    _, public = shop.make_key("publishable")
    assert public in shop.told().session_keys


def test_access_keys_come_back_with_a_project_that_was_gone_and_are_looked_at(infra, shop):
    key_id, secret = shop.make()
    name = access_keys.PREFIX + key_id
    with infra.database.autocommit() as tx:
        kept = secrets.read_all(tx, infra.vault, shop.id)[name]
    assert importing.is_kept(name)
    assert importing.is_whole(name, kept)
    for wrong_name, wrong in (
        (name, "{}"),
        (name, json.dumps({"name": "x", "secret": "short"})),
        (name, json.dumps({"name": None, "secret": secret})),
        (f"{access_keys.PREFIX}../x", kept),
    ):
        assert not importing.is_whole(wrong_name, wrong)
    assert names.ANON_KEY not in name
