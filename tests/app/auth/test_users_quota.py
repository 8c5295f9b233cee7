"""The quota of users: whoever would be one too many is refused, by whatever way they come; everybody else signs in."""

from __future__ import annotations

import pytest

from tests.app.auth.people import joined, new_email, refused, sign_in, sign_up

FULL = (422, "signup_disabled")


@pytest.fixture
def full(auth):
    """A project that has as many users as it may; return a function that sets what it takes besides."""

    def configured(**settings):
        (count,) = auth.rows("SELECT count(*) FROM auth.users WHERE deleted_at IS NULL")[0]
        auth.configure(users_quota=max(count, 1), **settings)

    joined(auth)
    configured()
    return configured


WAYS = {
    "a sign-up": ("anon", "/signup", lambda: {"email": new_email(), "password": "correct horse"}),
    "a sign-up of nobody in particular": ("anon", "/signup", lambda: {"data": {}}),
    "a letter": ("anon", "/otp", lambda: {"email": new_email()}),
    "an invitation": ("service_role", "/invite", lambda: {"email": new_email()}),
    "the service key": ("service_role", "/admin/users", lambda: {"email": new_email()}),
    "a link made for them": ("service_role", "/admin/generate_link", lambda: {"email": new_email(), "type": "invite"}),
}


@pytest.mark.parametrize("way", WAYS)
def test_nobody_new_comes_into_a_full_project(auth, full, way):
    role, path, body = WAYS[way]
    full(anonymous_sign_in=True)
    before = auth.rows("SELECT count(*) FROM auth.users")
    answer = auth.call("POST", path, body(), role=role)
    assert answer.status_code == 422, "A project has no more users than its quota"
    assert refused(answer) == FULL
    assert "quota" in answer.json["message"]
    assert auth.rows("SELECT count(*) FROM auth.users") == before


def test_who_is_known_goes_on_signing_in(auth):
    person = joined(auth)
    (count,) = auth.rows("SELECT count(*) FROM auth.users WHERE deleted_at IS NULL")[0]
    auth.configure(users_quota=count)
    assert sign_in(auth, person.email).status_code == 200
    assert auth.call("POST", "/otp", {"email": person.email}).status_code == 200


def test_a_full_project_does_not_tell_who_is_known(auth, full):
    known = joined_before(auth)
    full(autoconfirm=False)
    answers = [sign_up(auth, email) for email in (known, new_email())]
    assert [refused(answer) for answer in answers] == [FULL, FULL]
    assert answers[0].json == answers[1].json


def joined_before(auth) -> str:
    """The address of somebody who signed up while there was room."""
    auth.configure()
    return joined(auth).email


def test_who_is_deleted_makes_room_for_another(auth):
    person = joined(auth)
    (count,) = auth.rows("SELECT count(*) FROM auth.users WHERE deleted_at IS NULL")[0]
    auth.configure(users_quota=count)
    assert refused(sign_up(auth)) == FULL
    assert auth.admin("DELETE", f"/admin/users/{person.id}", {"should_soft_delete": True}).status_code == 200
    assert sign_up(auth).status_code == 200
    assert refused(sign_up(auth)) == FULL


def test_of_many_at_once_as_many_come_in_as_there_is_room_for(auth, together):
    (count,) = auth.rows("SELECT count(*) FROM auth.users WHERE deleted_at IS NULL")[0]
    auth.configure(users_quota=count + 2)
    answers = together(6, lambda _: sign_up(auth).status_code)
    assert answers.count(200) == 2, "A project has no more users than its quota"
    assert answers.count(422) == 4
