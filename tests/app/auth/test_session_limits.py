"""How long sessions live, where a project says so: in all, unused, and beside others of the same user."""

from __future__ import annotations

import pytest

from tests.app.auth.conftest import PASSWORD


@pytest.fixture
def person(auth, email):
    auth.admin("POST", "/admin/users", {"email": email, "password": PASSWORD, "email_confirm": True})
    return email


def sign_in(auth, email):
    answer = auth.call("POST", "/token?grant_type=password", {"email": email, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return answer.json


def refresh(auth, session):
    return auth.call("POST", "/token?grant_type=refresh_token", {"refresh_token": session["refresh_token"]})


def user_of(auth, session):
    return auth.call("GET", "/user", bearer=session["access_token"])


def at(auth, seconds):
    begun = auth.now()
    auth.now = lambda: begun + seconds


def ended(auth, session, message):
    refused = refresh(auth, session)
    assert (refused.status_code, refused.json["code"]) == (400, "session_expired")
    assert refused.json["message"] == f"Invalid Refresh Token: {message}"
    gone = user_of(auth, session)
    assert gone.status_code == 403, "A session that has ended lets nobody in, however good the token is"
    assert (gone.status_code, gone.json["code"]) == (403, "session_not_found")


def test_a_session_lives_so_long_however_busy_it_is(auth, person):
    auth.configure(session_seconds=1000)
    session = sign_in(auth, person)
    at(auth, 600)
    session = refresh(auth, session).json
    at(auth, 300)
    assert user_of(auth, session).status_code == 200
    at(auth, 101)
    ended(auth, session, "Session Expired")


def test_a_session_that_nobody_refreshes_ends(auth, person):
    auth.configure(session_idle_seconds=1000)
    session = sign_in(auth, person)
    at(auth, 900)
    session = refresh(auth, session).json
    at(auth, 900)
    assert user_of(auth, session).status_code == 200, "its time begins anew with each refresh"
    session = refresh(auth, session).json
    at(auth, 1001)
    ended(auth, session, "Session Expired (Inactivity)")


def test_a_newer_sign_in_ends_the_one_before(auth, person):
    auth.configure(single_session=True)
    older = sign_in(auth, person)
    at(auth, 1)
    newer = sign_in(auth, person)
    ended(auth, older, "Session Expired (Revoked by Newer Login)")
    assert user_of(auth, newer).status_code == 200
    assert refresh(auth, newer).status_code == 200


def test_without_limits_sessions_live_on_beside_each_other(auth, person):
    older = sign_in(auth, person)
    at(auth, 1)
    newer = sign_in(auth, person)
    at(auth, 3000)
    for session in (older, newer):
        assert user_of(auth, session).status_code == 200
        assert refresh(auth, session).status_code == 200
