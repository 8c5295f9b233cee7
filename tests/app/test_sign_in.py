"""Owners register, sign in, renew and sign out; and what attackers try there."""

from __future__ import annotations

import re
import statistics
import time

import pytest

from app.factory import create_app, operations
from config.settings import load
from tests.app.conftest import PASSWORD, Town
from tests.app.test_bad_input import problem
from tests.app.test_limits import another


def login(person, email, password=PASSWORD, **headers):
    return person.post("/api/auth/login", json={"email": email, "password": password}, headers=headers)


def test_an_owner_registers_signs_in_and_is_known_by_the_token(town):
    person = town.stranger()
    body = {"email": "Ann@Example.org", "password": PASSWORD, "name": "Ann"}
    made = person.post("/api/auth/register", json=body)
    assert made.status_code == 201
    assert set(made.json()) == {"id", "email", "name", "createdAt"}
    assert made.json()["email"] == "ann@example.org"
    given = login(person, " ANN@example.org ")
    assert given.headers["Cache-Control"] == "no-store"
    told = given.json()
    as_in_oauth = {"accessToken": "access_token", "tokenType": "token_type", "expiresIn": "expires_in"}
    assert set(told) == {*as_in_oauth, *as_in_oauth.values(), "refreshToken"}
    assert {told[ours] == told[theirs] for ours, theirs in as_in_oauth.items()} == {True}
    assert (told["token_type"], told["expires_in"]) == ("Bearer", 900)
    me = person.get("/api/auth/me", headers={"Authorization": f"bearer {given.json()['accessToken']}"})
    assert me.json()["id"] == made.json()["id"]
    stored = town.rows("SELECT password_hash FROM owners")[0]["password_hash"]
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=1$")


def test_an_address_registers_once_and_a_stranger_is_not_told_that_it_was_known(town):
    known = town.registered()
    other = "another horse that nobody staples"
    told = []
    for email in ("new@example.org", known.email.upper()):
        answer = town.stranger().post("/api/auth/register", json={"email": email, "password": other, "name": "Ann"})
        told.append((answer.status_code, sorted(answer.headers), answer.json()))
    (status, headers, new), (again, same, old) = told
    assert (again, same, sorted(old)) == (status, headers, sorted(new)) == (201, headers, sorted(new))
    assert old["email"] == known.email
    assert (len(old["id"]), old["id"][:4], old["name"]) == (len(new["id"]), new["id"][:4], new["name"])
    assert {row["email"] for row in town.rows("SELECT email FROM owners")} == {known.email, "new@example.org"}
    assert town.rows("SELECT 1 FROM owners WHERE id = %s", (old["id"],)) == []
    assert login(town.stranger(), known.email).status_code == 200, "what they had is theirs as before"
    problem(login(town.stranger(), known.email, other), 401)
    refused = "SELECT actor, outcome FROM audit WHERE action = 'owner.register' ORDER BY id DESC LIMIT 1"
    assert town.rows(refused) == [{"actor": "anonymous", "outcome": "refused: email-taken"}]


def test_who_was_invited_is_told_that_their_address_has_an_account(town, app, settings):
    boss = town.owner(operator=True)
    invited = boss.post("/api/admin/owners/invitations", json={"email": "ann@example.org"}).json()["token"]
    town.registered("ann@example.org")
    body = {"email": "ann@example.org", "password": PASSWORD, "invitation": invited}
    assert problem(town.stranger().post("/api/auth/register", json=body), 409)["type"] == "/problems/email-taken"


@pytest.mark.timing
@pytest.mark.full
def test_two_hundred_registrations_tell_no_known_address_from_an_unknown_one(app, settings):
    took = {True: [], False: []}
    with another(settings, SIGN_IN_RATE_PER_MINUTE="100000") as town:
        known = town.registered()
        for number in range(200):
            for is_known in (True, False):
                email = known.email if is_known else f"nobody-{number}@example.org"
                started = time.perf_counter()
                answer = known.post("/api/auth/register", json={"email": email, "password": PASSWORD})
                took[is_known].append(time.perf_counter() - started)
                assert answer.status_code == 201
    assert abs(statistics.median(took[True]) - statistics.median(took[False])) < 0.005


@pytest.mark.timing
@pytest.mark.parametrize(
    ("email", "password", "pointer"),
    [
        ("a@example.org", "short", "/password"),
        ("a@example.org", "password1", "/password"),
        ("a@example.org", "PassWord123", "/password"),
        ("a@example.org", "a@example.org", "/password"),
        ("a@example.org", "x" * 1_000_000, "/password"),
        ("a" * 300 + "@example.org", PASSWORD, "/email"),
        ("no-address", PASSWORD, "/email"),
        ("a@b@c", PASSWORD, "/email"),
        ("a@exam\nple.org", PASSWORD, "/email"),
        ("a@ex\0ample.org", PASSWORD, "/email"),
    ],
)
def test_weak_passwords_and_malformed_addresses_are_refused_before_hashing(town, email, password, pointer):
    started = time.monotonic()
    answer = town.stranger().post("/api/auth/register", json={"email": email, "password": password})
    assert time.monotonic() - started < 1
    assert problem(answer, 422)["errors"][0]["pointer"] == pointer
    assert town.rows("SELECT id FROM owners") == []


def test_every_character_of_a_long_password_counts(town):
    person, long = town.stranger(), "🐎 " * 40 + "staple"
    person.post("/api/auth/register", json={"email": "a@example.org", "password": long})
    problem(login(person, "a@example.org", long[:-1]), 401)
    assert login(person, "a@example.org", long).status_code == 200


@pytest.mark.timing
def test_an_unknown_address_and_a_wrong_password_get_the_same_answer_in_the_same_time(town):
    known, told, took = town.registered(), [], {}
    for email in (known.email, "nobody@example.org"):
        times = []
        for _ in range(5):
            started = time.perf_counter()
            found = problem(login(town.stranger(), email, "wrong password"), 401)
            times.append(time.perf_counter() - started)
            told.append({name: value for name, value in found.items() if name != "requestId"})
        took[email] = statistics.median(times)
    assert all(found == told[0] for found in told)
    assert took["nobody@example.org"] > 0.5 * took[known.email]


@pytest.mark.timing
@pytest.mark.full
def test_two_hundred_tries_tell_no_known_address_from_an_unknown_one(app, settings):
    took = {True: [], False: []}
    with another(settings, SIGN_IN_RATE_PER_MINUTE="100000") as town:
        known = town.registered()
        for number in range(200):
            for is_known in (True, False):
                with town.infra.database.autocommit() as tx:
                    tx.execute("DELETE FROM failed_logins")
                email = known.email if is_known else f"nobody-{number}@example.org"
                started = time.perf_counter()
                answer = login(known, email, "wrong password")
                took[is_known].append(time.perf_counter() - started)
                assert answer.status_code == 401
    assert abs(statistics.median(took[True]) - statistics.median(took[False])) < 0.005


def test_the_eleventh_wrong_try_waits_but_the_right_password_from_a_known_address_does_not(town):
    owner = town.registered()
    at_home = {"REMOTE_ADDR": "10.0.0.1"}
    client = town.app.test_client()

    def attempt(password, address, **headers):
        body = {"email": owner.email, "password": password}
        answer = client.post("/api/auth/login", json=body, environ_base=address, headers=headers)
        return answer.status_code, answer.headers.get("Retry-After")

    assert attempt(PASSWORD, at_home)[0] == 200
    away = {"REMOTE_ADDR": "10.9.9.9"}
    with town.infra.database.autocommit() as tx:  # ten wrong tries from each, without the time they take
        for address in (*at_home.values(), *away.values()):
            tx.execute("INSERT INTO failed_logins VALUES (%s, %s, 10, now())", (owner.email, address))
    status, wait = attempt("wrong password", away, **{"X-Forwarded-For": "1.2.3.4"})
    assert status == 429, "Who claims another address is counted by their own"
    assert 1 <= int(wait) <= 15
    assert attempt(PASSWORD, away)[0] == 429
    assert attempt("wrong password", at_home)[0] == 429
    assert attempt(PASSWORD, at_home)[0] == 200
    assert attempt("wrong password", at_home)[0] == 401
    assert attempt(PASSWORD, {"REMOTE_ADDR": "10.7.7.7"})[0] == 200


def test_a_refresh_token_used_twice_ends_the_sign_in(town):
    owner = town.signed_in()
    first = owner.sign_in["refreshToken"]
    second = owner.post("/api/auth/refresh", json={"refreshToken": first})
    assert second.status_code == 200
    problem(owner.post("/api/auth/refresh", json={"refreshToken": first}), 401)
    status = owner.post("/api/auth/refresh", json={"refreshToken": second.json()["refreshToken"]}).status_code
    assert status == 401, "A refresh token that is used twice ends its sign-in"
    problem(owner.get("/api/auth/me"), 401)
    assert first not in str(town.rows("SELECT * FROM refresh_tokens"))


def test_tokens_are_good_for_their_own_purpose_only(town):
    owner = town.signed_in()
    problem(owner.post("/api/auth/refresh", json={"refreshToken": owner.sign_in["accessToken"]}), 401)
    refreshing = {"Authorization": f"Bearer {owner.sign_in['refreshToken']}"}
    problem(owner.get("/api/auth/me", headers=refreshing), 401)


def test_signing_out_ends_the_sign_in_and_no_other(town):
    owner = town.signed_in()
    other = login(owner, owner.email).json()
    assert owner.post("/api/auth/logout").status_code == 204
    problem(owner.get("/api/auth/me"), 401)
    problem(owner.post("/api/auth/refresh", json={"refreshToken": owner.sign_in["refreshToken"]}), 401)
    assert owner.post("/api/auth/refresh", json={"refreshToken": other["refreshToken"]}).status_code == 200


def test_both_keys_are_good_while_the_platform_key_is_rotated(town, settings):
    owner = town.owner()
    folder = settings.secrets_folder
    old = folder / "PLATFORM_JWT_SECRET"
    old.rename(folder / "PLATFORM_JWT_SECRET.previous")
    old.write_text("another key of forty-three characters or so\n")
    old.chmod(0o600)
    assert owner.get("/api/auth/me").status_code == 200
    owner.client.headers["Authorization"] = f"Bearer {town.token(owner.id)}"
    assert owner.get("/api/auth/me").status_code == 200
    (folder / "PLATFORM_JWT_SECRET.previous").unlink()
    assert owner.get("/api/auth/me").status_code == 200


@pytest.mark.parametrize("mode", ["invite", "closed"])
def test_where_registration_is_not_open_nobody_registers(settings, infra, app, mode):
    values = {"REGISTRATION": mode, "LAUNCHDB_HOME": str(settings.home)}
    shut = load({**values, "LAUNCHDB_DATABASE_URL": settings.database_url, "LAUNCHDB_REDIS_URL": settings.redis_url})
    other = create_app(shut, infra, ("platform",))
    town = Town(other, infra, shut)
    body = {"email": "a@example.org", "password": PASSWORD}
    problem(town.stranger().post("/api/auth/register", json=body), 403)
    assert town.rows("SELECT id FROM owners") == []
    town.close()
    other.extensions["launchdb"].close()


def test_a_personal_token_is_shown_once_speaks_for_its_owner_and_ends(town):
    owner = town.owner()
    key = {"Idempotency-Key": "k"}
    made = owner.post("/api/tokens", json={"name": "ci", "expiresAt": "2999-01-01T00:00:00Z"}, headers=key)
    token = made.json()["token"]
    assert made.status_code == 201
    again = owner.post("/api/tokens", json={"name": "ci", "expiresAt": "2999-01-01T00:00:00Z"}, headers=key)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == {**made.json(), "token": None}
    program = town.stranger(Authorization=f"Bearer {token}")
    assert program.get("/api/auth/me").json()["id"] == owner.id
    listed = owner.get("/api/tokens").json()["tokens"]
    assert [entry["id"] for entry in listed] == [made.json()["id"]]
    assert listed[0]["lastUsedAt"]
    assert token not in str(town.rows("SELECT * FROM personal_tokens, idempotency_keys"))
    assert owner.delete(f"/api/tokens/{made.json()['id']}").status_code == 204
    assert program.get("/api/auth/me").status_code == 401, "A personal token that was taken back lets nobody in"
    problem(owner.delete(f"/api/tokens/{made.json()['id']}"), 404)


def test_a_personal_token_ends_at_its_time(town):
    owner = town.owner()
    token = owner.post("/api/tokens", json={"name": "ci"}).json()["token"]
    with town.infra.database.autocommit() as tx:
        tx.execute("UPDATE personal_tokens SET expires_at = now() - interval '1 second'")
    status = town.stranger(Authorization=f"Bearer {token}").get("/api/auth/me").status_code
    assert status == 401, "A personal token ends at its time"


SCOPES = {
    "read": ["read"],
    "write": ["write"],
    "operate": ["operate"],
    "nothing said, by an owner": ["read", "write"],
    "nothing said, by an operator": ["operate", "read", "write"],
}


@pytest.mark.parametrize("asked", SCOPES)
def test_a_personal_token_does_what_it_was_made_for_and_nothing_else(town, asked):
    """Every route, asked with a token: those of its scopes answer, the others say which scope is missing."""
    boss = town.owner(operator=asked != "nothing said, by an owner")
    wanted = {} if asked.startswith("nothing") else {"scopes": SCOPES[asked]}
    made = boss.post("/api/tokens", json={"name": "ci", **wanted}).json()
    assert made["scopes"] == SCOPES[asked] == boss.get("/api/tokens").json()["tokens"][0]["scopes"]
    program = town.stranger(Authorization=f"Bearer {made['token']}")
    for operation in operations():
        if operation.who == "anyone" or (operation.who == "operator" and not asked.endswith("operator")):
            continue
        path = re.sub("<[a-z_]+>", "none", operation.rule)
        answer = program.request(operation.method, path, **({} if operation.method == "GET" else {"json": {"?": 1}}))
        if operation.needs in SCOPES[asked]:
            assert answer.status_code in (200, 404, 422), (operation.name, answer.text)
            continue
        assert problem(answer, 403)["type"] == "/problems/insufficient-scope", operation.name
        assert f'scope="{operation.needs}"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/tokens", {"name": "another"}),
        ("POST", "/api/auth/password", {"current": PASSWORD, "new": "another horse than that"}),
        ("DELETE", "/api/auth/me", {}),
        ("POST", "/api/admin/owners/own_" + "0" * 32 + "/reset", {}),
        ("PATCH", "/api/admin/owners/own_" + "0" * 32, {"isOperator": True}),
    ],
)
def test_no_personal_token_opens_a_way_that_outlives_it(town, method, path, body):
    boss = town.owner(operator=True)
    token = boss.post("/api/tokens", json={"name": "ci"}).json()["token"]
    answer = town.stranger(Authorization=f"Bearer {token}").request(method, path, json=body)
    assert "sign in" in problem(answer, 403)["detail"]
    assert len(town.rows("SELECT 1 FROM personal_tokens")) == 1


def test_a_token_of_an_owner_who_becomes_an_operator_does_not_become_one(town):
    owner = town.owner()
    token = owner.post("/api/tokens", json={"name": "ci"}).json()["token"]
    with town.infra.database.autocommit() as tx:
        tx.execute("UPDATE owners SET is_operator = true")
    assert town.stranger(Authorization=f"Bearer {token}").get("/api/admin/workers").status_code == 403


@pytest.mark.parametrize("scopes", [[], ["everything"], "read", ["sign-in"], [1], ["read"] * 4])
def test_there_are_no_other_scopes(town, scopes):
    answer = town.owner().post("/api/tokens", json={"name": "ci", "scopes": scopes})
    assert problem(answer, 422)["errors"][0]["pointer"].startswith("/scopes")


@pytest.mark.parametrize("moment", ["2020-01-01T00:00:00Z", "tomorrow", 5, "2999-01-01", "２999-01-01T00:00:00Z"])
def test_a_personal_token_ends_in_the_future_or_never(town, moment):
    answer = town.owner().post("/api/tokens", json={"name": "ci", "expiresAt": moment})
    assert problem(answer, 422)["errors"][0]["pointer"] == "/expiresAt"


def test_passwords_and_tokens_are_in_no_log_line(town, caplog):
    owner = town.signed_in()
    assert PASSWORD not in caplog.text
    assert owner.sign_in["refreshToken"] not in caplog.text
