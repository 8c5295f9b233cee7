"""What signed-in people see and change of themselves, and how they sign out."""

from __future__ import annotations

import pytest

from tests.app.auth.people import PASSWORD, anonymous, joined, new_email, refresh, refused, sign_in


@pytest.mark.parametrize(
    ("scope", "this", "other"),
    [("", False, False), ("global", False, False), ("local", False, True), ("others", True, False)],
)
def test_signing_out_ends_the_sessions_that_were_meant(auth, scope, this, other):
    person = joined(auth)
    elsewhere, stranger = person.again(), joined(auth)
    answer = person.log_out(scope)
    assert (answer.status_code, answer.data) == (204, b"")
    for session, goes_on in ((person, this), (elsewhere, other), (stranger, True)):
        if goes_on:
            assert session.get().status_code == 200
            assert refresh(auth, session.refresh_token).status_code == 200
        else:
            assert refused(session.get()) == (403, "session_not_found")
            assert refused(refresh(auth, session.refresh_token)) == (400, "refresh_token_not_found")


def test_an_unknown_scope_is_refused_and_ends_nothing(auth):
    person = joined(auth)
    assert refused(person.log_out("everything")) == (400, "validation_failed")
    assert person.get().status_code == 200


def test_data_is_merged_and_null_takes_a_member_away(auth):
    person = joined(auth, data={"a": 1, "b": {"c": 2}})
    assert person.put({"data": {"a": None, "b": {"d": 3}, "e": [4]}}).status_code == 200
    assert person.get().json["user_metadata"] == {"b": {"d": 3}, "e": [4]}


def test_data_that_two_write_at_once_is_all_there(auth, together):
    person = joined(auth)
    together(4, lambda place: person.put({"data": {f"m{place}": place}}))
    assert person.get().json["user_metadata"] == {f"m{place}": place for place in range(4)}


def test_a_new_password_signs_the_others_out_and_leaves_this_session(auth):
    person = joined(auth)
    elsewhere = person.again()
    assert person.put({"password": "a new password"}).status_code == 200
    assert person.get().status_code == 200
    assert refused(elsewhere.get()) == (403, "session_not_found")
    assert refused(sign_in(auth, person.email)) == (400, "invalid_credentials")
    assert sign_in(auth, person.email, "a new password").status_code == 200


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"password": PASSWORD}, (422, "same_password")),
        ({"password": "short"}, (422, "weak_password")),
        ({"password": ""}, (422, "weak_password")),
        ({"password": "x" * 73}, (400, "validation_failed")),
        ({"password": "a new password", "current_password": "wrong"}, (400, "current_password_invalid")),
        ({"app_metadata": {"admin": True}}, (403, "not_admin")),
        ({"email": "no address"}, (400, "validation_failed")),
        ({"phone": "+491234567"}, (400, "phone_provider_disabled")),
    ],
)
def test_what_cannot_be_changed_leaves_everything_as_it_was(auth, body, refusal):
    person = joined(auth)
    before = person.get().json
    assert refused(person.put({**body, "data": {"a": 1}})) == refusal
    assert person.get().json == before
    assert sign_in(auth, person.email).status_code == 200


def test_the_old_password_can_be_asked_for(auth):
    auth.configure(password_current_required=True)
    person = joined(auth)
    assert refused(person.put({"password": "a new password"})) == (400, "current_password_required")
    assert person.put({"password": "a new password", "current_password": PASSWORD}).status_code == 200


def test_an_anonymous_user_who_gives_an_address_is_permanent_and_keeps_their_id(auth):
    person, email = anonymous(auth, data={"cart": [1]}), new_email()
    answer = person.put({"email": email, "password": PASSWORD})
    assert answer.status_code == 200
    user = answer.json
    assert (user["id"], user["email"], user["is_anonymous"]) == (person.id, email, False)
    assert user["app_metadata"] == {"provider": "email", "providers": ["email"]}
    assert [identity["provider"] for identity in user["identities"]] == ["email"]
    session = sign_in(auth, email).json
    assert session["user"]["id"] == person.id
    assert session["user"]["user_metadata"] == {"cart": [1]}


def test_an_anonymous_user_without_an_address_gets_no_password(auth):
    assert refused(anonymous(auth).put({"password": PASSWORD})) == (422, "validation_failed")


def test_an_address_that_somebody_has_is_given_to_nobody_else(auth):
    other = joined(auth)
    for person in (joined(auth), anonymous(auth)):
        assert refused(person.put({"email": other.email.upper()})) == (422, "email_exists")


def test_a_user_cannot_write_what_says_who_they_are(auth):
    person = joined(auth)
    body = {
        "role": "service_role",
        "aud": "x",
        "id": "x",
        "is_super_admin": True,
        "email_confirmed_at": None,
        "ban_duration": "none",
    }
    assert person.put(body).status_code == 200
    user = person.get().json
    assert (user["role"], user["aud"], user["id"]) == ("authenticated", "authenticated", person.id)


def test_settings_say_which_ways_in_there_are(auth):
    auth.configure(anonymous_sign_in=True, sign_up=False, autoconfirm=False, email_sign_in=False)
    said = auth.call("GET", "/settings").json
    assert (said["disable_signup"], said["mailer_autoconfirm"]) == (True, False)
    assert (said["external"]["anonymous_users"], said["external"]["email"], said["external"]["phone"]) == (
        True,
        False,
        False,
    )
    assert {"google", "github", "azure", "apple", "zoom"} <= {*said["external"]}


def test_what_happens_to_a_user_is_in_the_audit_log(auth):
    person = joined(auth)
    again = person.again()
    again.put({"password": "a new password"})
    again.log_out()
    auth.admin("DELETE", f"/admin/users/{person.id}")
    entries = auth.rows(
        "SELECT payload, ip_address FROM auth.audit_log_entries WHERE payload::text LIKE %s ORDER BY created_at",
        (f"%{person.id}%",),
    )
    actions = [payload["action"] for payload, _ in entries]
    assert actions == ["user_signedup", "login", "user_updated_password", "user_modified", "logout", "user_deleted"]
    first, last = entries[0], entries[-1]
    assert (first[0]["actor_id"], first[0]["actor_username"], first[1]) == (person.id, person.email, "127.0.0.1")
    assert (last[0]["actor_username"], last[0]["traits"]["user_id"]) == ("service_role", person.id)
    assert PASSWORD not in str(entries)
