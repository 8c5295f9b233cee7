"""Operators invite, promote, give quotas and make links; invitations work once, for one address."""

from __future__ import annotations

import pytest

from tests.app.conftest import PASSWORD
from tests.app.test_accounts import actions
from tests.app.test_bad_input import problem
from tests.app.test_limits import another


def invited(boss, email="new@example.org"):
    answer = boss.post("/api/admin/owners/invitations", json={"email": email})
    assert answer.status_code == 201, answer.text
    return answer.json()["token"]


def register(person, email="new@example.org", **more):
    return person.post("/api/auth/register", json={"email": email, "password": PASSWORD, **more})


@pytest.fixture
def by_invitation(app, settings):
    with another(settings, REGISTRATION="invite") as town:
        yield town


def test_an_invitation_lets_its_address_register_once(by_invitation):
    town = by_invitation
    boss = town.owner(operator=True)
    token = invited(boss, "New@Example.org")
    problem(register(town.stranger()), 403)
    problem(register(town.stranger(), "other@example.org", invitation=token), 403)
    assert problem(register(town.stranger(), password="short", invitation=token), 422)
    made = register(town.stranger(), invitation=token)
    assert made.status_code == 201
    assert problem(register(town.stranger(), invitation=token), 403)["type"] == "/problems/link-not-valid"
    with town.infra.database.autocommit() as tx:
        tx.execute("DELETE FROM owners WHERE id = %s", (made.json()["id"],))
    problem(register(town.stranger(), invitation=token), 403)
    assert token not in str(town.rows("SELECT * FROM one_time_tokens, audit"))
    invite = town.rows("SELECT actor, detail FROM audit WHERE action = 'owner.invite'")
    assert invite == [{"actor": boss.id, "detail": {"email": "new@example.org"}}]
    assert "owner.register" in actions(town, made.json()["id"])


def test_an_invitation_ends_with_the_next_one_and_with_its_time(by_invitation):
    boss = by_invitation.owner(operator=True)
    first, second = invited(boss), invited(boss)
    problem(register(by_invitation.stranger(), invitation=first), 403)
    with by_invitation.infra.database.autocommit() as tx:
        tx.execute("UPDATE one_time_tokens SET expires_at = expires_at - interval '7 days'")
    problem(register(by_invitation.stranger(), invitation=second), 403)


def test_a_reset_link_is_no_invitation(by_invitation):
    boss, owner = by_invitation.owner(operator=True), by_invitation.owner()
    token = boss.post(f"/api/admin/owners/{owner.id}/reset").json()["token"]
    problem(register(by_invitation.stranger(), owner.email, invitation=token), 403)


def test_where_registration_is_closed_an_invitation_does_not_help(app, settings):
    with another(settings, REGISTRATION="closed") as town:
        token = invited(town.owner(operator=True))
        answer = register(town.stranger(), invitation=token)
        assert problem(answer, 403)["type"] == "/problems/registration-closed"


def test_who_is_there_already_is_not_invited(town):
    boss, owner = town.owner(operator=True), town.owner()
    problem(boss.post("/api/admin/owners/invitations", json={"email": owner.email.upper()}), 409)
    for email in ("no-address", "a@example.org\nBcc: b@example.org", "a" * 300 + "@example.org", None, ["a@b.c"]):
        problem(boss.post("/api/admin/owners/invitations", json={"email": email}), 422)


def test_an_owners_own_quota_goes_before_the_installations(app, settings):
    with another(settings, MAX_PROJECTS_PER_OWNER="1") as town:
        boss, owner = town.owner(operator=True), town.owner()
        path = f"/api/admin/owners/{owner.id}"
        owner.project("a")
        problem(owner.post("/api/projects", json={"name": "b"}), 403)
        assert boss.patch(path, json={"maxProjects": 2}).json()["maxProjects"] == 2
        owner.project("b")
        problem(owner.post("/api/projects", json={"name": "c"}), 403)
        boss.patch(path, json={"maxProjects": 0})
        owner.project("c")
        assert boss.patch(path, json={}).json()["maxProjects"] == 0
        assert boss.patch(path, json={"maxProjects": None}).json()["maxProjects"] is None
        problem(owner.post("/api/projects", json={"name": "d"}), 403)
        changes = town.rows("SELECT actor, detail FROM audit WHERE action = 'owner.update' ORDER BY id")
        assert [row["detail"] for row in changes][:2] == [
            {"owner_id": owner.id, "maxProjects": 2},
            {"owner_id": owner.id, "maxProjects": 0},
        ]
        assert {row["actor"] for row in changes} == {boss.id}


def test_an_operator_makes_another_and_takes_it_back(town):
    boss, owner = town.owner(operator=True), town.owner()
    problem(owner.get("/api/admin/owners"), 404)
    assert boss.patch(f"/api/admin/owners/{owner.id}", json={"isOperator": True}).json()["isOperator"] is True
    listed = owner.get("/api/admin/owners?limit=1").json()
    assert [entry["id"] for entry in listed["owners"]] == [boss.id]
    second = owner.get("/api/admin/owners", params={"cursor": listed["nextCursor"]}).json()
    assert [entry["id"] for entry in second["owners"]] == [owner.id]
    assert "password" not in str(listed).lower()
    assert boss.patch(f"/api/admin/owners/{owner.id}", json={"isOperator": False}).status_code == 200
    problem(owner.get("/api/admin/owners"), 404)


@pytest.mark.parametrize(
    "body",
    [
        {"isOperator": None},
        {"isOperator": "true"},
        {"maxProjects": -1},
        {"maxProjects": 1.0},
        {"maxProjects": 10**9},
        {"email": "b@example.org"},
        {"passwordHash": "x"},
        {"is_operator": True},
    ],
)
def test_only_quota_and_operator_can_be_changed_of_an_owner(town, body):
    boss, owner = town.owner(operator=True), town.owner()
    problem(boss.patch(f"/api/admin/owners/{owner.id}", json=body), 422)


def test_an_owner_cannot_make_himself_an_operator(town):
    person, owner = town.stranger(), town.owner()
    body = {"email": "a@example.org", "password": PASSWORD}
    for more in ({"isOperator": True}, {"is_operator": True}, {"maxProjects": 9}, {"id": "own_1"}):
        problem(person.post("/api/auth/register", json={**body, **more}), 422)
    problem(owner.patch(f"/api/admin/owners/{owner.id}", json={"isOperator": True}), 404)


def test_an_owner_that_is_none_is_not_there(town):
    boss = town.owner(operator=True)
    for wrong in ("own_" + "0" * 32, "x", "%00", "proj_ffffffffffffffff"):
        problem(boss.patch(f"/api/admin/owners/{wrong}", json={"maxProjects": 1}), 404)
        problem(boss.post(f"/api/admin/owners/{wrong}/reset"), 404)
