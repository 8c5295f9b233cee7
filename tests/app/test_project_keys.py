"""Keys of a project: opaque API keys, signing keys and an imported JWT secret, from the owner's request to the answer."""

from __future__ import annotations

import base64
import json
import time

import psycopg
import pytest

from catalog import names, secrets
from infra.secrets import signing_keys as keys_of_tokens
from infra.secrets import tokens
from jobs.projects import data_plane
from tests.app.test_bad_input import problem
from tests.app.test_project_settings import project, services  # noqa: F401 - fixtures
from tests.app.test_rotation import Shop
from tests.app.test_settings_take_effect import Clients

DAY = 24 * 3600


def header_of(token):
    return json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))


class Keyed(Shop):
    """A shop, and what is done with its keys."""

    def ask(self, what, body=None):
        """Ask for something of the keys and have it done; return the answer."""
        answer = self.post(what, body or {})
        assert answer.status_code == 202, answer.text
        self.engine.runner.drain()
        job = self.owner.get(f"/api/jobs/{answer.json()['job']['id']}").json()
        assert job["status"] == "succeeded", job
        return answer.json()

    def make_key(self, key_type, name="a key"):
        made = self.ask("keys", {"name": name, "type": key_type})
        return made["key"]["id"], made["apiKey"]

    def signing_keys(self):
        return self.owner.get(f"{self.path}/signing-keys").json()

    def revoke(self, key_id):
        answer = self.owner.delete(f"{self.path}/keys/{key_id}")
        assert answer.status_code == 202, answer.text
        self.engine.runner.drain()

    def stored(self, infra):
        with infra.database.autocommit() as tx:
            return secrets.read_all(tx, infra.vault, self.id)

    def user_token(self, infra, **more):
        """A user's token, as Auth signs it now."""
        claims = {"role": "authenticated", "sub": "0" * 8, "exp": int(time.time()) + 3600, **more}
        return tokens.sign_token(claims, data_plane.signing_key(self.stored(infra)))

    def status(self, apikey, bearer=None):
        headers = {"apikey": apikey, **({"Authorization": f"Bearer {bearer}"} if bearer else {})}
        return self.town.stranger(**headers).get(f"{self.rest}/things").status_code

    def whoami(self, apikey, bearer=None):
        headers = {"apikey": apikey, **({"Authorization": f"Bearer {bearer}"} if bearer else {})}
        return self.town.stranger(**headers).client.post(f"{self.rest}/rpc/whoami", json={})


@pytest.fixture
def shop(owner, project, engine, town):  # noqa: F811 - fixtures
    made = Keyed(owner, project, engine, town)
    with psycopg.connect(made.known["databaseUrl"], autocommit=True) as login:
        login.execute(
            "CREATE FUNCTION whoami() RETURNS text LANGUAGE sql AS $$ SELECT auth.role() $$;"
            "NOTIFY pgrst, 'reload schema'"
        )
    return made


def test_an_opaque_key_stands_for_its_role_until_it_is_revoked_alone(shop):
    public_id, public = shop.make_key("publishable")
    secret_id, secret = shop.make_key("secret", "the worker")
    _, other = shop.make_key("secret", "the other worker")
    assert public.startswith("sb_publishable_")
    assert secret.startswith("sb_secret_")
    assert [shop.whoami(key).json() for key in (public, secret, other)] == ["anon", "service_role", "service_role"]
    assert shop.whoami(public, bearer=public).json() == "anon"
    assert shop.whoami(secret, bearer=public).json() == "service_role", "the key decides, not an opaque Bearer token"
    assert shop.whoami(public, bearer=shop.known["serviceRoleKey"]).json() == "service_role", "a JWT is kept"
    shop.revoke(secret_id)
    refused = shop.whoami(secret)
    assert (refused.status_code, refused.json()["message"]) == (401, "Invalid API key")
    assert shop.whoami(public, bearer=secret).json() == "anon"
    assert shop.whoami(other).json() == "service_role"
    assert shop.whoami(shop.known["anonKey"]).json() == "anon"
    shop.revoke(public_id)
    assert shop.whoami(public).status_code == 401


def test_what_is_no_key_of_the_project_lets_nobody_in(shop):
    key_id, secret = shop.make_key("secret")
    shop.revoke(key_id)
    for wrong in (f"{secret}x", secret, "sb_secret_", "sb_publishable_" + "a" * 32, "SB_SECRET_x", "sb_"):
        assert shop.status(wrong) == 401, wrong
        plain = shop.town.stranger(Authorization=f"Bearer {wrong}").get(f"/db/{shop.id}/things")
        assert plain.status_code == 401, wrong


def test_an_opaque_key_is_good_at_the_plain_address_too(shop):
    _, secret = shop.make_key("secret")
    plain = shop.town.stranger(Authorization=f"Bearer {secret}").client
    assert plain.post(f"/db/{shop.id}/rpc/whoami", json={}).json() == "service_role"


def test_a_key_of_another_project_is_refused(shop, town, infra, engine):
    _, secret = shop.make_key("secret")
    other = town.owner()
    made = other.post("/api/projects", json={"name": "other"}).json()["project"]["id"]
    engine.runner.drain()
    answer = shop.town.stranger(apikey=secret).get(f"/project/{made}/rest/v1/")
    assert answer.status_code == 401


def test_the_value_of_a_secret_key_is_shown_once_and_kept_nowhere(shop, infra):
    _, secret = shop.make_key("secret")
    _, public = shop.make_key("publishable")
    listed = shop.owner.get(f"{shop.path}/keys").text
    assert secret not in listed
    assert public in listed, "it is no secret, and shown as often as it is asked for"
    stored = json.dumps({name: [each.value for each in found] for name, found in shop.stored(infra).versions.items()})
    assert secret not in stored
    assert secret not in shop.configuration(infra)
    assert secret not in shop.owner.get(f"{shop.path}/audit").text


def test_a_repeated_request_makes_one_key_and_does_not_show_it_again(shop):
    body, headers = {"name": "a key", "type": "secret"}, {"Idempotency-Key": "once"}
    first = shop.owner.post(f"{shop.path}/keys", json=body, headers=headers).json()
    again = shop.owner.post(f"{shop.path}/keys", json=body, headers=headers).json()
    assert first["apiKey"]
    assert again["apiKey"] is None
    assert first["key"] == again["key"]
    assert len(shop.owner.get(f"{shop.path}/keys").json()["keys"]) == 1


def test_keys_are_their_owners_alone(shop):
    key_id, _ = shop.make_key("secret")
    stranger = shop.town.owner()
    for answer in (
        stranger.get(f"{shop.path}/keys"),
        stranger.post(f"{shop.path}/keys", json={"name": "x", "type": "secret"}),
        stranger.delete(f"{shop.path}/keys/{key_id}"),
        stranger.get(f"{shop.path}/signing-keys"),
        stranger.post(f"{shop.path}/signing-keys/rotate", json={}),
        stranger.post(f"{shop.path}/jwt-secret", json={"secret": "s" * 40}),
    ):
        assert problem(answer, 404)["type"] == "/problems/project-not-found"
    assert problem(shop.owner.delete(f"{shop.path}/keys/key_{'0' * 32}"), 404)["type"] == "/problems/key-not-found"


def test_tokens_of_every_signing_key_are_good_while_it_is_rotated(shop, infra):
    signed = [shop.user_token(infra)]
    client = shop.town.stranger(apikey=shop.known["serviceRoleKey"], Authorization=f"Bearer {signed[0]}").client
    with Clients(client, shop.rest) as clients:
        for algorithm in ("ES256", "RS256", "HS256"):
            shop.ask("signing-keys/rotate", {"algorithm": algorithm})
            signed.append(shop.user_token(infra))
            in_use = next(key for key in shop.signing_keys()["keys"] if key["state"] == "in_use")
            assert (in_use["algorithm"], in_use["id"]) == (algorithm, shop.signing_keys()["signedBy"])
            assert header_of(signed[-1]) == {"alg": algorithm, "kid": in_use["id"], "typ": "JWT"}
    assert [shop.whoami(shop.known["anonKey"], bearer=token).json() for token in signed] == ["authenticated"] * 4
    assert clients.wrong == []


def test_a_key_stands_by_then_signs_is_previous_and_revoked(shop, infra):
    shop.ask("signing-keys", {"algorithm": "ES256"})
    (standby,) = shop.signing_keys()["keys"]
    assert (standby["state"], shop.signing_keys()["signedBy"]) == ("standby", None)
    assert header_of(shop.user_token(infra)) == {"alg": "HS256", "typ": "JWT"}
    shop.ask("signing-keys/rotate")
    assert shop.signing_keys()["signedBy"] == standby["id"]
    first = shop.user_token(infra)
    shop.ask("signing-keys/rotate", {"algorithm": "RS256"})
    second = shop.user_token(infra)
    states = {key["id"]: key["state"] for key in shop.signing_keys()["keys"]}
    assert states == {standby["id"]: "previous", shop.signing_keys()["signedBy"]: "in_use"}
    assert shop.whoami(shop.known["anonKey"], bearer=first).json() == "authenticated"
    shop.ask(f"signing-keys/{standby['id']}/revoke")
    assert shop.whoami(shop.known["anonKey"], bearer=first).status_code == 401
    assert shop.whoami(shop.known["anonKey"], bearer=second).json() == "authenticated"
    assert {key["state"] for key in shop.signing_keys()["keys"]} == {"revoked", "in_use"}


def test_a_key_that_is_given_a_grace_time_ends_by_the_clock(shop, infra):
    shop.ask("signing-keys/rotate")
    old = shop.user_token(infra)
    shop.ask("signing-keys/rotate", {"graceSeconds": DAY})
    assert shop.whoami(shop.known["anonKey"], bearer=old).json() == "authenticated"
    shop.grace_is_over(infra)
    assert shop.whoami(shop.known["anonKey"], bearer=old).status_code == 401


def test_the_key_in_use_is_not_revoked_and_an_unknown_one_not_found(shop):
    shop.ask("signing-keys/rotate")
    in_use = shop.signing_keys()["signedBy"]
    assert problem(shop.post(f"signing-keys/{in_use}/revoke", {}), 409)["type"] == "/problems/key-in-use"
    assert problem(shop.post("signing-keys/none/revoke", {}), 404)["type"] == "/problems/key-not-found"


def test_no_private_key_is_in_what_the_data_api_reads_or_in_an_answer(shop, infra):
    for algorithm in ("ES256", "RS256"):
        shop.ask("signing-keys/rotate", {"algorithm": algorithm})
    seen = shop.configuration(infra) + json.dumps(shop.signing_keys())
    for version in shop.stored(infra).versions[names.SIGNING_KEY]:
        private = json.loads(version.value)
        hidden = {private[member] for member in ("d", "p", "q", "dp", "dq", "qi") if member in private}
        assert hidden
        assert not [value for value in hidden if value in seen]
        assert private["kid"] in seen


def old_project():
    """A secret as a project elsewhere has it, with its keys: no claim of ours in them."""
    secret, now = "super-secret-jwt-token-with-at-least-32-characters-long", int(time.time())

    def key(role):
        claims = {
            "iss": "supabase",
            "ref": "abcdefghijklmnopqrst",
            "role": role,
            "iat": now,
            "exp": now + 10 * 365 * DAY,
        }
        return tokens.sign_token(claims, secret)

    return secret, key("anon"), key("service_role")


def test_apps_and_users_of_a_project_from_elsewhere_go_on_with_an_imported_secret(shop, infra):
    secret, anon, service = old_project()
    signed_in = tokens.sign_token(
        {"role": "authenticated", "aud": "authenticated", "exp": int(time.time()) + 60}, secret
    )
    assert shop.whoami(anon).status_code == 401
    shop.ask("jwt-secret", {"secret": secret, "anonKey": anon, "serviceRoleKey": service})
    assert [shop.whoami(anon).json(), shop.whoami(service).json()] == ["anon", "service_role"]
    assert shop.whoami(anon, bearer=signed_in).json() == "authenticated"
    shown = shop.connection()
    assert (shown["anonKey"], shown["serviceRoleKey"]) == (anon, service)
    assert shop.whoami(shop.known["anonKey"]).json() == "anon", "the keys it had are good for a day"
    assert data_plane.signing_key(shop.stored(infra)) == secret


def test_keys_that_are_not_given_are_made_by_the_imported_secret(shop):
    secret, anon, _ = old_project()
    shop.ask("jwt-secret", {"secret": secret, "graceSeconds": 0})
    shown = shop.connection()
    assert [shop.whoami(shown["anonKey"]).json(), shop.whoami(shown["serviceRoleKey"]).json()] == [
        "anon",
        "service_role",
    ]
    assert shop.whoami(anon).json() == "anon"
    assert shop.whoami(shop.known["anonKey"]).status_code == 401


def wrong_imports():
    secret, anon, service = old_project()
    expired = tokens.sign_token({"role": "anon", "exp": int(time.time()) - 5}, secret)
    foreign = tokens.sign_token({"role": "anon", "exp": int(time.time()) + 60}, "another" * 8)
    stolen = tokens.sign_token({"role": "anon", "db_role": "proj_0123456789abcdef_anon"}, secret)
    return [
        ({"secret": "too short"}, "/secret"),
        ({"secret": "é" * 40}, "/secret"),
        ({"secret": " " + "s" * 40}, "/secret"),
        ({"secret": keys_of_tokens.make_signing_key("ES256")}, "/secret"),
        ({"secret": "s" * 1025}, "/secret"),
        ({"secret": secret, "anonKey": service}, "/anonKey"),
        ({"secret": secret, "serviceRoleKey": anon}, "/serviceRoleKey"),
        ({"secret": secret, "anonKey": expired}, "/anonKey"),
        ({"secret": secret, "anonKey": foreign}, "/anonKey"),
        ({"secret": secret, "anonKey": stolen}, "/anonKey"),
        ({"secret": secret, "anonKey": "no token"}, "/anonKey"),
        ({}, "/secret"),
    ]


def test_a_secret_or_key_that_does_not_fit_is_refused_by_name_and_changes_nothing(shop):
    for body, pointer in wrong_imports():
        refused = problem(shop.post("jwt-secret", body), 422)
        assert pointer in [error["pointer"] for error in refused["errors"]], body
        assert not any(value in json.dumps(refused) for value in body.values())
    assert shop.connection() == shop.known
