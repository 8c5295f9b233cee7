"""Refreshing a session: which tokens are good, who waits for whom, and what an old token that comes again means."""

from __future__ import annotations

import pytest

from tests.app.auth.case_runner import claims_of
from tests.app.auth.people import joined, refresh, refused


def ahead(auth, seconds):
    """Go on so many seconds later."""
    later = auth.now() + seconds
    auth.now = lambda: later


def test_a_refresh_answers_the_same_session_with_new_tokens(auth):
    person = joined(auth)
    answer = refresh(auth, person.refresh_token)
    assert answer.status_code == 200
    assert answer.json["refresh_token"] != person.refresh_token
    was, now = claims_of(person.token), claims_of(answer.json["access_token"])
    assert {name: now[name] for name in ("session_id", "sub", "aal", "amr")} == {
        name: was[name] for name in ("session_id", "sub", "aal", "amr")
    }
    assert answer.json["user"] == person.get().json


def test_a_lost_answer_is_given_again_at_any_time(auth):
    person = joined(auth)
    lost = refresh(auth, person.refresh_token).json
    ahead(auth, 86_400)
    again = refresh(auth, person.refresh_token)
    assert again.status_code == 200
    assert again.json["refresh_token"] == lost["refresh_token"]
    assert refresh(auth, lost["refresh_token"]).status_code == 200


def test_ten_who_refresh_with_one_token_at_once_get_the_same_one(auth, together):
    person = joined(auth)
    answers = together(10, lambda _: refresh(auth, person.refresh_token))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert len({answer.json["refresh_token"] for answer in answers if answer.status_code == 200}) == 1
    live = "SELECT count(*) FROM auth.refresh_tokens WHERE user_id = %s AND NOT revoked"
    assert auth.rows(live, (person.id,)) == [(1,)]


def test_a_stolen_older_token_ends_the_session_and_is_written_down(auth):
    person = joined(auth)
    second = refresh(auth, person.refresh_token).json["refresh_token"]
    newest = refresh(auth, second).json
    ahead(auth, 30)
    stolen = refresh(auth, person.refresh_token)
    assert stolen.status_code == 400, "An older refresh token that comes again is a stolen one and ends its session"
    assert refused(stolen) == (400, "refresh_token_already_used")
    assert stolen.json["message"] == "Invalid Refresh Token: Already Used"
    assert refresh(auth, newest["refresh_token"]).status_code == 400
    assert refused(auth.call("GET", "/user", bearer=newest["access_token"])) == (403, "session_not_found")
    actions = auth.rows(
        "SELECT payload ->> 'action' FROM auth.audit_log_entries WHERE payload ->> 'actor_id' = %s", (person.id,)
    )
    assert ("token_revoked",) in actions


def test_the_theft_in_one_session_leaves_the_others(auth):
    person = joined(auth)
    other = person.again()
    second = refresh(auth, person.refresh_token).json["refresh_token"]
    refresh(auth, second)
    ahead(auth, 30)
    refresh(auth, person.refresh_token)
    assert refresh(auth, other.refresh_token).status_code == 200


def test_an_older_token_is_good_for_as_long_as_the_project_says(auth):
    auth.configure(refresh_reuse_seconds=0)
    person = joined(auth)
    second = refresh(auth, person.refresh_token).json["refresh_token"]
    refresh(auth, second)
    ahead(auth, 1)
    assert refused(refresh(auth, person.refresh_token)) == (400, "refresh_token_already_used")


def test_a_token_that_lay_unused_too_long_is_good_no_more(auth):
    auth.configure(refresh_token_seconds=7200)
    person = joined(auth)
    ahead(auth, 7201)
    assert refused(refresh(auth, person.refresh_token)) == (400, "session_expired")


def test_a_banned_user_gets_no_new_token(auth):
    person = joined(auth)
    auth.admin("PUT", f"/admin/users/{person.id}", {"ban_duration": "1h"})
    answer = refresh(auth, person.refresh_token)
    assert answer.status_code == 400, "Whoever is banned gets no new token"
    assert refused(answer) == (400, "user_banned")
    auth.admin("PUT", f"/admin/users/{person.id}", {"ban_duration": "none"})
    assert refresh(auth, person.refresh_token).status_code == 200


def test_whose_authorization_it_is_does_not_matter(auth):
    person = joined(auth)
    body = {"refresh_token": person.refresh_token}
    for bearer in ("expired.or.forged", auth.key("anon", exp=1)):
        assert auth.call("POST", "/token?grant_type=refresh_token", body, bearer=bearer).status_code == 200


def test_a_session_that_is_busy_is_refused_after_a_while_and_not_for_ever(auth):
    person = joined(auth)
    with auth.tenant.connect(auth.tenant.roles.auth) as holder, holder.transaction():
        holder.execute("SELECT FROM auth.sessions WHERE user_id = %s FOR UPDATE", (person.id,))
        assert refused(refresh(auth, person.refresh_token)) == (409, "conflict")
    assert refresh(auth, person.refresh_token).status_code == 200


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({}, (400, "validation_failed")),
        ({"refresh_token": ""}, (400, "validation_failed")),
        ({"refresh_token": "x"}, (400, "refresh_token_not_found")),
        ({"refresh_token": "x" * 100_000}, (400, "refresh_token_not_found")),
        ({"refresh_token": "' OR 1 = 1 --"}, (400, "refresh_token_not_found")),
    ],
)
def test_what_is_no_refresh_token(auth, body, refusal):
    assert refused(auth.call("POST", "/token?grant_type=refresh_token", body)) == refusal


def test_an_access_token_is_no_refresh_token_and_the_reverse(auth):
    person = joined(auth)
    assert refused(refresh(auth, person.token)) == (400, "refresh_token_not_found")
    assert refused(auth.call("GET", "/user", bearer=person.refresh_token)) == (403, "bad_jwt")
