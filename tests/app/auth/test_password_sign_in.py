"""Signing in by password: who gets in, with which hash, and what everybody else is told."""

from __future__ import annotations

import bcrypt
import pytest
from argon2 import PasswordHasher, Type

from tests.app.auth.people import PASSWORD, joined, new_email, refused, sign_in
from tests.infra.test_passwords import FIREBASE

IMPORTED = {
    "bcrypt": (PASSWORD, bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()),
    "argon2i": (PASSWORD, PasswordHasher(1, 64, 1, type=Type.I).hash(PASSWORD)),
    "argon2id": (PASSWORD, PasswordHasher(1, 64, 1).hash(PASSWORD)),
    "firebase": ("user1password", FIREBASE),
}


def created(auth, **attributes):
    answer = auth.admin("POST", "/admin/users", {"email": new_email(), "email_confirm": True, **attributes})
    assert answer.status_code == 200, answer.text
    return answer.json


def stored(auth, user_id):
    return auth.rows("SELECT encrypted_password FROM auth.users WHERE id = %s", (user_id,))[0][0]


@pytest.mark.parametrize(("password", "brought"), IMPORTED.values(), ids=IMPORTED)
def test_an_imported_user_signs_in_and_is_hashed_anew_with_argon2id(auth, password, brought):
    user = created(auth, password_hash=brought)
    assert refused(sign_in(auth, user["email"], f"{password}x")) == (400, "invalid_credentials")
    assert stored(auth, user["id"]) == brought
    assert sign_in(auth, user["email"], password).status_code == 200
    assert stored(auth, user["id"]).startswith("$argon2id$v=19$m=65536,t=3")
    assert sign_in(auth, user["email"], password).status_code == 200


@pytest.mark.parametrize("brought", ["", None, "x", "plain:correct horse", "$2b$31$" + "a" * 53])
def test_a_stored_text_that_is_no_hash_lets_nobody_in(auth, brought):
    user = created(auth)
    auth.rows("UPDATE auth.users SET encrypted_password = %s WHERE id = %s RETURNING 1", (brought, user["id"]))
    assert refused(sign_in(auth, user["email"])) == (400, "invalid_credentials")


def test_wrong_password_unknown_address_and_no_password_are_told_the_same(auth):
    person, without = joined(auth), created(auth)
    answers = [
        sign_in(auth, person.email, "wrong password"),
        sign_in(auth, new_email()),
        sign_in(auth, without["email"]),
        sign_in(auth, "no address at all"),
    ]
    assert {(answer.status_code, answer.text) for answer in answers} == {
        (400, '{"code":"invalid_credentials","message":"Invalid login credentials"}')
    }


def test_only_who_knows_the_password_learns_that_the_address_is_not_confirmed_or_the_user_banned(auth):
    waiting = created(auth, email_confirm=False, password=PASSWORD)
    banned = created(auth, password=PASSWORD, ban_duration="1h")
    for user, word in ((waiting, "email_not_confirmed"), (banned, "user_banned")):
        assert refused(sign_in(auth, user["email"], "wrong password")) == (400, "invalid_credentials")
        assert refused(sign_in(auth, user["email"])) == (400, word)


def test_a_ban_ends(auth):
    user = created(auth, password=PASSWORD, ban_duration="1h")
    later = auth.now() + 3601
    auth.now = lambda: later
    assert sign_in(auth, user["email"]).status_code == 200


def test_who_signs_in_with_a_password_that_is_too_weak_by_now_is_told(auth):
    person = joined(auth)
    assert "weak_password" not in sign_in(auth, person.email).json
    auth.configure(password_min_length=20)
    session = sign_in(auth, person.email).json
    assert session["weak_password"]["reasons"] == ["length"]
    assert session["access_token"]


def test_each_sign_in_is_a_session_of_its_own_and_is_noted_on_the_user(auth):
    person = joined(auth)
    before = person.session["user"]["last_sign_in_at"]
    again = person.again()
    assert again.session["user"]["last_sign_in_at"] > before
    assert again.get().json["identities"][0]["last_sign_in_at"] > before
    rows = auth.rows("SELECT id FROM auth.sessions WHERE user_id = %s", (person.id,))
    assert len(rows) == 2


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"password": PASSWORD}, (400, "validation_failed")),
        ({"email": "", "password": PASSWORD}, (400, "validation_failed")),
        ({"email": "a@example.com"}, (400, "validation_failed")),
        ({"email": "a@example.com", "password": ""}, (400, "validation_failed")),
        ({"email": "a@example.com", "phone": "491", "password": PASSWORD}, (400, "validation_failed")),
        ({"phone": "491", "password": PASSWORD}, (422, "phone_provider_disabled")),
        ({"email": "a" * 100_000, "password": PASSWORD}, (400, "invalid_credentials")),
    ],
)
def test_what_a_sign_in_may_not_be(auth, body, refusal):
    assert refused(auth.call("POST", "/token?grant_type=password", body)) == refusal


def test_sign_in_by_address_can_be_off(auth):
    auth.configure(email_sign_in=False)
    assert refused(sign_in(auth, new_email())) == (422, "email_provider_disabled")


@pytest.mark.parametrize("grant", ["", "?grant_type=", "?grant_type=magic", "?grant_type=Password"])
def test_other_grant_types_are_refused(auth, grant):
    assert refused(auth.call("POST", f"/token{grant}", {})) == (400, "invalid_credentials")


def test_a_confirmed_number_confirms_no_address(auth):
    user = created(auth, email_confirm=False, phone_confirm=True, phone="4915112345", password=PASSWORD)
    assert user["confirmed_at"]
    assert refused(sign_in(auth, user["email"])) == (400, "email_not_confirmed")
