"""Owners change and reset passwords, look at their sign-ins, and leave; and what attackers try there."""

from __future__ import annotations

import threading

import pytest

from tests.app.conftest import PASSWORD
from tests.app.test_bad_input import problem
from tests.app.test_limits import another
from tests.app.test_sign_in import login

OTHER = "another horse, not stapled either"


@pytest.fixture
def boss(town):
    return town.owner(operator=True)


def change(person, current=PASSWORD, new=OTHER, **more):
    return person.post("/api/auth/password", json={"current": current, "new": new}, **more)


def reset_link(boss, owner):
    return boss.post(f"/api/admin/owners/{owner.id}/reset").json()["token"]


def reset(person, token, new=OTHER):
    return person.post("/api/auth/password/reset", json={"token": token, "new": new})


def actions(town, owner_id):
    return [row["action"] for row in town.rows("SELECT action FROM audit WHERE owner_id = %s ORDER BY id", (owner_id,))]


def test_a_changed_password_ends_every_other_sign_in_and_no_personal_token(town):
    owner = town.signed_in()
    other = login(owner, owner.email).json()
    program = owner.post("/api/tokens", json={"name": "ci"}).json()["token"]
    assert change(owner).status_code == 204
    assert owner.get("/api/auth/me").status_code == 200
    problem(owner.post("/api/auth/refresh", json={"refreshToken": other["refreshToken"]}), 401)
    elsewhere = town.stranger(Authorization=f"Bearer {other['accessToken']}")
    problem(elsewhere.get("/api/auth/me"), 401)
    assert town.stranger(Authorization=f"Bearer {program}").get("/api/auth/me").status_code == 200
    problem(login(owner, owner.email), 401)
    assert login(owner, owner.email, OTHER).status_code == 200
    assert owner.post("/api/auth/refresh", json={"refreshToken": owner.sign_in["refreshToken"]}).status_code == 200
    assert "auth.password" in actions(town, owner.id)


def live(town, owner_id):
    query = (
        "SELECT DISTINCT family_id FROM refresh_tokens WHERE owner_id = %s AND used_at IS NULL AND revoked_at IS NULL"
    )
    return len(town.rows(query, (owner_id,)))


def test_no_sign_in_or_renewal_under_way_outlives_the_password_it_began_with(app, settings):
    with another(settings, SIGN_IN_RATE_PER_MINUTE="100000") as town:
        owner = town.signed_in()
        tokens = [login(owner, owner.email).json()["refreshToken"] for _ in range(3)]
        changed, told = threading.Event(), []

        def renew(token):
            while not changed.is_set():
                answer = town.stranger().post("/api/auth/refresh", json={"refreshToken": token})
                told.append(answer.status_code)
                if answer.status_code != 200:
                    return
                token = answer.json()["refreshToken"]

        def sign_in():
            told.append(login(town.stranger(), owner.email).status_code)

        threads = [threading.Thread(target=renew, args=(token,)) for token in tokens]
        threads.append(threading.Thread(target=sign_in))
        for thread in threads:
            thread.start()
        answer = change(owner)
        changed.set()
        for thread in threads:
            thread.join()
        assert answer.status_code == 204
        assert set(told) <= {200, 401}
        assert told.count(200) > len(tokens)
        assert live(town, owner.id) == 1


def test_a_wrong_current_password_changes_nothing_counts_and_is_audited(town):
    owner = town.signed_in()
    assert problem(change(owner, "wrong password"), 403)["type"] == "/problems/wrong-credentials"
    assert town.rows("SELECT failures FROM failed_logins") == [{"failures": 1}]
    assert login(owner, owner.email).status_code == 200
    refused = town.rows("SELECT action, outcome, address FROM audit WHERE outcome LIKE 'refused%%'")
    assert refused == [{"action": "auth.password", "outcome": "refused: wrong-credentials", "address": "127.0.0.1"}]


def test_who_guesses_the_current_password_waits(town):
    owner = town.registered()
    stolen = town.stranger(Authorization=f"Bearer {town.token(owner.id)}")
    with town.infra.database.autocommit() as tx:
        tx.execute("INSERT INTO failed_logins VALUES (%s, '127.0.0.1', 10, now())", (owner.email,))
    answer = change(stolen, "wrong password")
    problem(answer, 429)
    assert 1 <= int(answer.headers["Retry-After"]) <= 15


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"current": PASSWORD, "new": "short"}, "/new"),
        ({"current": PASSWORD, "new": "password1"}, "/new"),
        ({"current": PASSWORD, "new": "x" * 1_000_000}, "/new"),
        ({"current": PASSWORD, "new": OTHER, "email": "b@example.org"}, "/email"),
        ({"current": PASSWORD, "new": OTHER, "isOperator": True}, "/isOperator"),
        ({"current": PASSWORD}, "/new"),
        ({"current": None, "new": OTHER}, "/current"),
    ],
)
def test_what_is_no_change_of_a_password_is_refused_with_a_pointer(town, body, pointer):
    owner = town.signed_in()
    before = town.rows("SELECT * FROM owners")
    answer = owner.post("/api/auth/password", json=body)
    assert problem(answer, 422)["errors"][0]["pointer"] == pointer
    assert town.rows("SELECT * FROM owners") == before


def test_an_operators_link_resets_a_password_once(town, boss):
    owner = town.signed_in()
    made = boss.post(f"/api/admin/owners/{owner.id}/reset", headers={"Idempotency-Key": "k"})
    token = made.json()["token"]
    assert made.status_code == 201
    assert made.headers["Cache-Control"] == "no-store"
    assert made.json()["link"].startswith(f"{town.settings.base_url}/#reset={token}")
    again = boss.post(f"/api/admin/owners/{owner.id}/reset", headers={"Idempotency-Key": "k"})
    assert (again.json()["token"], again.json()["link"]) == (None, None)
    assert reset(town.stranger(), token).status_code == 204
    problem(owner.get("/api/auth/me"), 401)
    problem(owner.post("/api/auth/refresh", json={"refreshToken": owner.sign_in["refreshToken"]}), 401)
    problem(login(owner, owner.email), 401)
    assert login(owner, owner.email, OTHER).status_code == 200
    assert problem(reset(town.stranger(), token, "a third password"), 403)["type"] == "/problems/link-not-valid"
    stored = str(town.rows("SELECT * FROM one_time_tokens, idempotency_keys, audit"))
    assert token not in stored
    assert "auth.reset" in actions(town, owner.id)


def test_a_link_ends_with_the_next_one_with_a_changed_password_and_with_its_time(town, boss):
    owner = town.signed_in()
    first, second = reset_link(boss, owner), reset_link(boss, owner)
    problem(reset(town.stranger(), first), 403)
    change(owner)
    problem(reset(town.stranger(), second), 403)
    third = reset_link(boss, owner)
    with town.infra.database.autocommit() as tx:
        tx.execute("UPDATE one_time_tokens SET expires_at = now() - interval '1 second'")
    problem(reset(town.stranger(), third), 403)
    assert login(owner, owner.email, OTHER).status_code == 200


def test_of_two_uses_of_a_link_at_once_one_is_refused(town, boss):
    owner = town.registered()
    token = reset_link(boss, owner)
    told = []
    threads = [
        threading.Thread(target=lambda new=new: told.append((reset(town.stranger(), token, new).status_code, new)))
        for new in (OTHER, "a third password")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(status for status, _ in told) == [204, 403]
    assert login(owner, owner.email, next(new for status, new in told if status == 204)).status_code == 200


def test_a_link_that_is_none_is_refused_before_anything_is_hashed(town, boss):
    owner = town.registered()
    token = reset_link(boss, owner)
    invitation = boss.post("/api/admin/owners/invitations", json={"email": "new@example.org"}).json()["token"]
    hashed = []
    town.app.extensions["launchdb"].passwords.hash = hashed.append
    for wrong in ("ldbp_" + "a" * 43, token[:-1], token + "a", token.upper(), invitation, "x", "é" * 20):
        problem(reset(town.stranger(), wrong), 403)
    for weak in ("short", "password1", owner.email):
        assert problem(reset(town.stranger(), token, weak), 422)["errors"][0]["pointer"] == "/new"
    assert hashed == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"token": "a"},
        {"new": OTHER},
        {"email": "a@example.org", "token": "a", "new": OTHER},
        {"email": "a@example.org", "new": OTHER},
        {"token": "a", "new": OTHER, "ownerId": "own_1"},
        {"email": "a@example.org\r\nBcc: b@example.org"},
        {"email": "a@example.org", "link": "https://evil.example"},
        {"token": "", "new": OTHER},
        {"token": "a" * 201, "new": OTHER},
        {"token": ["a"], "new": OTHER},
    ],
)
def test_what_is_no_reset_is_refused(town, body):
    problem(town.stranger().post("/api/auth/password/reset", json=body), 422)


def test_sign_ins_are_listed_and_ended_one_by_one(town):
    owner = town.signed_in()
    other = login(owner, owner.email).json()
    renewed = owner.post("/api/auth/refresh", json={"refreshToken": other["refreshToken"]}).json()
    listed = owner.get("/api/auth/sessions").json()["sessions"]
    assert [entry["current"] for entry in listed] == [False, True]
    assert [entry["address"] for entry in listed] == ["127.0.0.1", "127.0.0.1"]
    assert listed[0]["createdAt"] < listed[0]["lastUsedAt"] < listed[0]["expiresAt"]
    pages = [owner.get("/api/auth/sessions?limit=1").json()]
    pages.append(owner.get("/api/auth/sessions", params={"limit": 1, "cursor": pages[0]["nextCursor"]}).json())
    assert [page["sessions"][0]["id"] for page in pages] == [entry["id"] for entry in listed]
    assert pages[1]["nextCursor"] is None
    assert owner.delete(f"/api/auth/sessions/{listed[0]['id']}").status_code == 204
    problem(owner.post("/api/auth/refresh", json={"refreshToken": renewed["refreshToken"]}), 401)
    problem(town.stranger(Authorization=f"Bearer {renewed['accessToken']}").get("/api/auth/me"), 401)
    problem(owner.delete(f"/api/auth/sessions/{listed[0]['id']}"), 404)
    assert [entry["id"] for entry in owner.get("/api/auth/sessions").json()["sessions"]] == [listed[1]["id"]]
    assert "auth.session_end" in actions(town, owner.id)


def test_sign_ins_of_others_and_what_is_none_are_not_there(town):
    owner, other = town.signed_in(), town.signed_in()
    theirs = other.get("/api/auth/sessions").json()["sessions"][0]["id"]
    told = []
    for wrong in (theirs, theirs.upper(), theirs.replace("-", ""), f"{{{theirs}}}", "x", "%00", "a" * 5000):
        found = problem(owner.delete(f"/api/auth/sessions/{wrong}"), 404)
        told.append({name: found[name] for name in ("type", "title", "detail")})
    assert all(found == told[0] for found in told)
    assert other.get("/api/auth/me").status_code == 200
    for cursor in ("x", "W10", "WyJ4IiwieSJd"):
        problem(owner.get("/api/auth/sessions", params={"cursor": cursor}), 400)


def test_an_account_is_deleted_once_it_owns_no_project(town):
    owner = town.signed_in()
    program = owner.post("/api/tokens", json={"name": "ci"}).json()["token"]
    owner.project("a")
    owner.project("b")
    refused = problem(owner.delete("/api/auth/me"), 409)
    assert refused["type"] == "/problems/owns-projects"
    assert "2 projects" in refused["detail"]
    with town.infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET status = 'deleted' WHERE owner_id = %s", (owner.id,))
    assert owner.delete("/api/auth/me").status_code == 204
    problem(owner.get("/api/auth/me"), 401)
    problem(town.stranger(Authorization=f"Bearer {program}").get("/api/auth/me"), 401)
    problem(owner.post("/api/auth/refresh", json={"refreshToken": owner.sign_in["refreshToken"]}), 401)
    problem(login(owner, owner.email), 401)
    assert town.rows("SELECT 1 FROM owners WHERE id = %s", (owner.id,)) == []
    assert actions(town, owner.id)[-1] == "owner.delete"
    assert town.stranger().post("/api/auth/register", json={"email": owner.email, "password": PASSWORD}).is_success


def test_who_was_deleted_a_moment_ago_makes_nothing_more(town):
    owner = town.owner()
    assert owner.get("/api/auth/me").status_code == 200
    with town.infra.database.autocommit() as tx:
        tx.execute("DELETE FROM owners WHERE id = %s", (owner.id,))
    # Another process may still take them for somebody, for a second.
    assert owner.get("/api/projects").status_code == 200
    problem(owner.post("/api/tokens", json={"name": "ci"}), 401)
    problem(owner.post("/api/projects", json={"name": "a"}), 401)
    problem(owner.delete("/api/auth/me"), 401)


def test_the_last_operator_stays_one(town, boss):
    assert problem(boss.delete("/api/auth/me"), 409)["type"] == "/problems/last-operator"
    problem(boss.patch(f"/api/admin/owners/{boss.id}", json={"isOperator": False}), 409)
    town.owner(operator=True)
    assert boss.delete("/api/auth/me").status_code == 204
