"""Signing up: with an address, again with one that is taken, without any; and what is refused."""

from __future__ import annotations

import pytest

from tests.app.auth.case_runner import claims_of
from tests.app.auth.people import PASSWORD, anonymous, joined, new_email, refused, sign_in, sign_up


def test_where_addresses_count_as_confirmed_a_sign_up_is_a_sign_in(auth):
    person = joined(auth, data={"name": "Ada"})
    user = person.session["user"]
    assert user["app_metadata"] == {"provider": "email", "providers": ["email"]}
    assert user["user_metadata"] == {"name": "Ada"}
    assert user["email_confirmed_at"] == user["confirmed_at"]
    assert user["identities"][0]["identity_data"]["email_verified"] is True
    assert (user["phone"], user["is_anonymous"], user["role"]) == ("", False, "authenticated")
    assert person.get().json == user
    assert sign_in(auth, person.email).status_code == 200


def test_where_they_have_to_be_confirmed_a_sign_up_is_a_user_without_a_session(auth, email):
    auth.configure(autoconfirm=False)
    answer = sign_up(auth, email)
    assert answer.status_code == 200
    assert answer.json["email"] == email
    assert len(answer.json["identities"]) == 1
    assert "access_token" not in answer.json
    assert "email_confirmed_at" not in answer.json
    assert refused(sign_in(auth, email)) == (400, "email_not_confirmed")


def test_a_taken_address_is_answered_like_a_new_one_where_it_has_to_be_confirmed(auth):
    person = joined(auth)
    auth.configure(autoconfirm=False)
    new, taken = sign_up(auth).json, sign_up(auth, person.email, "another password", data={"a": 1}).json
    assert taken["id"] != person.id
    assert taken["identities"] == []  # what apps know it by
    assert {*new} - {*taken} <= {"confirmation_sent_at"}
    assert sign_in(auth, person.email, "another password").status_code == 400
    assert person.get().json["user_metadata"] == {}


def test_who_signed_up_unconfirmed_is_let_in_once_confirmation_is_off(auth, email):
    auth.configure(autoconfirm=False)
    first = sign_up(auth, email).json
    auth.configure(autoconfirm=True)
    assert refused(sign_up(auth, email, "of somebody else")) == (422, "user_already_exists")
    again = sign_up(auth, email)
    assert again.status_code == 200
    assert again.json["user"]["id"] == first["id"]


def test_an_anonymous_user_has_a_session_and_nothing_else(auth):
    person = anonymous(auth, data={"theme": "dark"})
    user = person.session["user"]
    assert (user["is_anonymous"], user["email"], user["app_metadata"], user["identities"]) == (True, "", {}, [])
    assert user["user_metadata"] == {"theme": "dark"}
    claims = claims_of(person.token)
    assert claims["is_anonymous"] is True
    assert [means["method"] for means in claims["amr"]] == ["anonymous"]


@pytest.mark.parametrize(
    ("settings", "body", "refusal"),
    [
        ({"anonymous_sign_in": False}, {}, (422, "anonymous_provider_disabled")),
        ({"anonymous_sign_in": True}, {"password": PASSWORD}, (422, "validation_failed")),
        ({"anonymous_sign_in": True, "sign_up": False}, {}, (422, "signup_disabled")),
        ({"email_sign_in": False}, {"email": "a@example.com", "password": PASSWORD}, (400, "email_provider_disabled")),
        ({}, {"phone": "+491234567", "password": PASSWORD}, (400, "phone_provider_disabled")),
        ({}, {"email": "a@example.com"}, (400, "validation_failed")),
        ({}, {"email": "a@example.com", "password": ""}, (400, "validation_failed")),
        ({}, {"email": "a@example.com", "password": "é" * 37}, (400, "validation_failed")),
        ({}, {"email": "no address", "password": PASSWORD}, (400, "validation_failed")),
        ({}, {"email": "a@example.com\n", "password": PASSWORD}, (400, "validation_failed")),
        ({}, {"email": "a@-example.com", "password": PASSWORD}, (400, "validation_failed")),
        ({}, {"email": "a@example.com", "password": "short"}, (422, "weak_password")),
    ],
)
def test_what_a_sign_up_may_not_be(auth, settings, body, refusal):
    auth.configure(**settings)
    assert refused(auth.call("POST", "/signup", body)) == refusal


@pytest.mark.parametrize(
    ("password", "reasons"),
    [
        ("aB3!aB3!aB", None),
        ("aB3!", ["length"]),
        ("abcdefghijk", ["characters"]),
        ("abc", ["length", "characters"]),
    ],
)
def test_a_weak_password_is_refused_with_the_reasons(auth, password, reasons):
    auth.configure(password_min_length=8, password_characters=["lower", "upper", "digit", "symbol"])
    answer = sign_up(auth, password=password)
    assert (answer.json.get("weak_password") or {}).get("reasons") == reasons
    assert answer.status_code == (200 if reasons is None else 422)


def test_a_password_of_72_bytes_counts_whole(auth):
    password = "a" * 72
    person = joined(auth, password=password)
    assert sign_in(auth, person.email, password).status_code == 200
    assert refused(sign_in(auth, person.email, "a" * 71)) == (400, "invalid_credentials")
    assert refused(sign_in(auth, person.email, "a" * 73)) == (400, "validation_failed")


def test_two_who_sign_up_with_one_address_at_once_are_one_user(auth, email, together):
    answers = together(4, lambda _: sign_up(auth, email))
    assert sorted(answer.status_code for answer in answers) == [200, 422, 422, 422]
    assert auth.rows("SELECT count(*) FROM auth.users WHERE email = %s", (email,)) == [(1,)]


def test_members_that_nobody_knows_are_left_aside(auth):
    answer = sign_up(
        auth,
        new_email(),
        data=None,
        code_challenge=None,
        gotrue_meta_security={},
        role="service_role",
        app_metadata={"a": 1},
        id="00000000-0000-4000-8000-000000000000",
        is_super_admin=True,
    )
    assert answer.status_code == 200
    assert answer.json["user"]["role"] == "authenticated"
    assert answer.json["user"]["app_metadata"] == {"provider": "email", "providers": ["email"]}
    assert answer.json["user"]["id"] != "00000000-0000-4000-8000-000000000000"
