"""What begins when somebody signs in, what their refresh tokens are good for, and whom an access token names later."""

from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from app.auth import sign_in
from app.auth.errors import AuthError
from app.auth.serve.admission import proven_claims
from app.auth.serve.call import AuthCall
from app.auth.store import identities, refresh_tokens, sessions, users
from app.auth.user_json import user_json

REUSE, LIVES = timedelta(seconds=10), timedelta(days=7)


@pytest.fixture
def call(auth):
    """A request that nobody in particular has made."""
    return AuthCall(
        project=auth.projects.find(auth.id),
        services=auth.services,
        method="POST",
        path={},
        query={},
        body={},
        headers={},
        claims={},
        address="192.0.2.7",
        user_agent="a browser",
    )


@pytest.fixture
def person(auth, call, email):
    """A user with an address."""
    with call.project.transaction() as tx:
        row = users.create(tx, email=email, raw_app_meta_data={"provider": "email", "providers": ["email"]})
        identities.create(tx, row["id"], "email", str(row["id"]), {"sub": str(row["id"]), "email": email})
    return row


def begun(call, person, **more):
    with call.project.transaction() as tx:
        return sign_in.begin_session(call, tx, person, **more)


def of_token(call, session):
    claims = proven_claims(call.project, session["access_token"], time.time())
    return dataclasses.replace(call, claims=claims)


def test_a_user_is_found_by_id_and_by_address_in_any_case(call, person, email):
    with call.project.transaction() as tx:
        assert users.find(tx, str(person["id"])) == users.find_by_email(tx, email.upper()) == person
        assert users.find(tx, uuid4()) is None


def test_an_address_is_had_by_one_alone(call, person, email):
    with pytest.raises(users.Taken, match="users_email_key"), call.project.transaction() as tx:
        users.create(tx, email=email)


def test_the_public_user_shows_identities_and_no_secrets(call, person, email):
    with call.project.transaction() as tx:
        row = users.update(tx, person["id"], encrypted_password="$argon2id$x", recovery_token="hidden")
        shown = user_json(tx, row)
    assert shown["identities"][0]["identity_data"] == {"sub": str(person["id"]), "email": email}
    assert shown["identities"][0]["id"] == str(person["id"])
    assert shown["app_metadata"] == {"provider": "email", "providers": ["email"]}
    assert shown["created_at"].endswith("Z")
    assert "argon2id" not in str(shown)
    assert "hidden" not in str(shown)
    assert "last_sign_in_at" not in shown


def test_a_session_answers_with_tokens_and_the_user(auth, call, person):
    session = begun(call, person, method="password")
    assert session["token_type"] == "bearer"
    assert session["expires_in"] == 3600
    assert len(session["refresh_token"]) >= 12
    assert session["user"]["id"] == str(person["id"])
    assert session["user"]["last_sign_in_at"]
    claims = proven_claims(call.project, session["access_token"], time.time())
    assert (claims["sub"], claims["role"], claims["aal"]) == (str(person["id"]), "authenticated", "aal1")
    assert (claims["aud"], claims["exp"] - claims["iat"]) == ("authenticated", 3600)
    [method] = claims["amr"]
    assert (method["method"], claims["iat"] - method["timestamp"] in (0, 1)) == ("password", True)
    kept = auth.rows("SELECT ip::text, user_agent FROM auth.sessions WHERE id = %s", (claims["session_id"],))
    assert kept == [("192.0.2.7/32", "a browser")]


def test_a_token_names_its_user_and_its_session(call, person):
    with call.project.transaction() as tx:
        user, session = sign_in.current_user(of_token(call, begun(call, person, method="otp", aal="aal2")), tx)
    assert user["id"] == session["user_id"] == person["id"]
    assert session["aal"] == "aal2"
    assert [means["method"] for means in session["amr"]] == ["otp"]


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ("DELETE FROM auth.sessions WHERE user_id = %s", (403, "session_not_found")),
        ("UPDATE auth.sessions SET not_after = now() WHERE user_id = %s", (403, "session_not_found")),
        ("DELETE FROM auth.users WHERE id = %s", (403, "user_not_found")),
        ("UPDATE auth.users SET deleted_at = now() WHERE id = %s", (403, "user_not_found")),
        ("UPDATE auth.users SET banned_until = now() + interval '1 hour' WHERE id = %s", (403, "user_banned")),
    ],
)
def test_a_token_of_what_has_ended_is_refused(auth, call, person, change, refusal):
    later = of_token(call, begun(call, person))
    with call.project.transaction() as tx:
        tx.execute(change, (person["id"],))
    with pytest.raises(AuthError) as refused, call.project.transaction() as tx:
        sign_in.current_user(later, tx)
    assert (refused.value.status, refused.value.code) == refusal


def test_a_token_of_another_users_session_is_refused(call, person):
    later = of_token(call, begun(call, person))
    with call.project.transaction() as tx:
        other = users.create(tx)
    taken = dataclasses.replace(later, claims={**later.claims, "sub": str(other["id"])})
    with pytest.raises(AuthError, match="session_id"), call.project.transaction() as tx:
        sign_in.current_user(taken, tx)


def test_a_banned_user_begins_no_session(auth, call, person):
    with call.project.transaction() as tx:
        users.update(tx, person["id"], banned_until=datetime.now(UTC) + timedelta(hours=1))
    with pytest.raises(AuthError) as refused:
        begun(call, person)  # the row was read before the ban
    assert (refused.value.status, refused.value.code) == (400, "user_banned")
    assert auth.rows("SELECT count(*) FROM auth.sessions WHERE user_id = %s", (person["id"],)) == [(0,)]


def rotated(call, token, *, at=0.0, reuse=REUSE, lives=LIVES):
    moment = datetime.now(UTC) + timedelta(seconds=at)
    with call.project.autocommit() as tx:
        return refresh_tokens.rotate(tx, token, moment, reuse=reuse, lives=lives)


def test_a_refresh_token_is_replaced_and_its_parent_finds_the_live_one_again(call, person):
    first = begun(call, person)["refresh_token"]
    second = rotated(call, first)
    assert second.outcome == "rotated"
    assert rotated(call, first, at=100_000) == dataclasses.replace(second, outcome="repeated")
    third = rotated(call, second.refresh_token)
    assert third.session_id == second.session_id
    assert len({first, second.refresh_token, third.refresh_token}) == 3


def test_an_old_token_is_a_lost_answers_for_some_seconds_and_a_thiefs_afterwards(call, person):
    first = begun(call, person)["refresh_token"]
    second = rotated(call, first).refresh_token
    third = rotated(call, second).refresh_token
    assert rotated(call, first, at=5).refresh_token == third
    assert rotated(call, first, at=60).outcome == "stolen"
    assert {rotated(call, token).outcome for token in (first, second, third)} == {"stolen"}


def test_a_token_that_lay_unused_too_long_is_expired(call, person):
    first = begun(call, person)["refresh_token"]
    assert rotated(call, first, at=LIVES.total_seconds() + 60).outcome == "expired"
    assert rotated(call, first).outcome == "rotated"


def test_tokens_of_nobody_are_unknown(call, person):
    assert rotated(call, "0123456abcde").outcome == "unknown"
    session = begun(call, person)
    with call.project.transaction() as tx:
        assert sessions.end_all(tx, person["id"]) == 1
    assert rotated(call, session["refresh_token"]).outcome == "unknown"


def test_ending_the_others_leaves_this_session(call, person):
    one, other = begun(call, person), begun(call, person)
    ours = of_token(call, one).claims["session_id"]
    with call.project.transaction() as tx:
        assert sessions.end_others(tx, person["id"], ours) == 1
    assert rotated(call, one["refresh_token"]).outcome == "rotated"
    assert rotated(call, other["refresh_token"]).outcome == "unknown"
