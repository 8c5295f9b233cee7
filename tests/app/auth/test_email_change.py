"""Another address: confirmed from both, or from the new one alone where the project is content with that."""

from __future__ import annotations

import pytest

from tests.app.auth.mailed import OPEN, at_once, follow, person, place, refused, signed_in


@pytest.fixture(autouse=True)
def _configured(auth):
    auth.configure(**OPEN)


@pytest.fixture
def new(email):
    return f"n{email}"


@pytest.fixture
def token(auth, email):
    person(auth, email)
    return signed_in(auth, email)["access_token"]


def change(auth, token, email):
    return auth.call("PUT", "/user", {"email": email}, bearer=token)


def me(auth, token):
    return auth.call("GET", "/user", bearer=token).json


def half(answer):
    """Whether a link was taken as the first of two."""
    return "other email" in place(answer)[2].get("message", "")


@pytest.mark.parametrize("autoconfirm", [False, True])
@pytest.mark.parametrize("first", ["old", "new"])
def test_it_takes_the_letters_to_both_addresses_in_any_order(auth, email, new, token, first, autoconfirm):
    auth.configure(**OPEN | {"autoconfirm": autoconfirm})
    changed = change(auth, token, new).json
    assert (changed["email"], changed["new_email"]) == (email, new)
    assert changed["email_change_sent_at"]
    order = [email, new] if first == "old" else [new, email]
    links = [auth.letters.last(to).url for to in order]
    assert half(follow(auth, links[0])), "Another address takes the letters to both addresses"
    assert me(auth, token)["email"] == email
    assert place(follow(auth, links[0]))[2]["error_code"] == "otp_expired"
    assert place(follow(auth, links[1]))[2]["type"] == "email_change"
    found = me(auth, token)
    assert (found["email"], found.get("new_email")) == (new, None)
    assert found["identities"][0]["identity_data"]["email"] == new


def test_both_at_once_make_one_change(auth, email, new, token):
    change(auth, token, new)
    links = [auth.letters.last(to).url for to in (email, new)]
    answers = at_once(2, lambda number: follow(auth, links[number]))
    assert sorted(half(answer) for answer in answers) == [False, True]
    assert me(auth, token)["email"] == new


def test_codes_do_as_links_do(auth, email, new, token):
    change(auth, token, new)
    codes = {to: auth.letters.last(to).token for to in (email, new)}
    wrong = {"type": "email_change", "email": email, "token": codes[new]}
    refused(auth.call("POST", "/verify", wrong), 403, "otp_expired")
    first = auth.call("POST", "/verify", {"type": "email_change", "email": new, "token": codes[new]})
    assert first.json == {"code": "200", "msg": first.json["msg"]}
    last = auth.call("POST", "/verify", {"type": "email_change", "email": email, "token": codes[email]})
    assert last.json["user"]["email"] == new


def test_where_the_new_address_is_enough_the_old_one_gets_no_letter(auth, email, new, token):
    auth.configure(**OPEN | {"secure_email_change": False})
    before = auth.letters.count(email)
    change(auth, token, new)
    assert auth.letters.count(email) == before
    assert place(follow(auth, auth.letters.last(new).url))[2]["type"] == "email_change"
    assert me(auth, token)["email"] == new
    body = {"type": "email_change_current", "email": new, "new_email": f"x{new}"}
    refused(auth.admin("POST", "/admin/generate_link", body), 400, "validation_failed")


def test_a_second_thought_replaces_the_first(auth, email, new, token):
    change(auth, token, new)
    first = [auth.letters.last(to).url for to in (email, new)]
    assert half(follow(auth, first[0]))
    change(auth, token, f"x{new}")
    assert place(follow(auth, first[1]))[2]["error_code"] == "otp_expired"
    assert half(follow(auth, auth.letters.last(f"x{new}").url)), "half of the first change counts for the second"
    assert place(follow(auth, auth.letters.last(email).url))[2]["type"] == "email_change"
    assert me(auth, token)["email"] == f"x{new}"


def test_an_address_that_somebody_took_in_the_meantime_is_theirs(auth, email, new, token):
    refused(change(auth, token, person(auth, f"o{email}")["email"]), 422, "email_exists")
    change(auth, token, new)
    assert half(follow(auth, auth.letters.last(email).url))
    person(auth, new)
    assert place(follow(auth, auth.letters.last(new).url))[2]["error_code"] == "email_exists"
    assert me(auth, token)["email"] == email


def test_letters_are_written_again_for_who_waits_and_for_nobody_else(auth, email, new, token):
    before = len(auth.letters.kept)
    assert auth.call("POST", "/resend", {"type": "email_change", "email": email}).json == {}
    assert len(auth.letters.kept) == before
    change(auth, token, new)
    first = auth.letters.last(new).url
    assert auth.call("POST", "/resend", {"type": "email_change", "email": email}).json == {}
    assert place(follow(auth, first))[2]["error_code"] == "otp_expired"
    assert half(follow(auth, auth.letters.last(new).url))
    assert not half(follow(auth, auth.letters.last(email).url))


def test_what_went_to_the_old_address_opens_the_account_no_more(auth, email, new, token):
    auth.configure(**OPEN | {"secure_email_change": False})
    change(auth, token, new)
    auth.call("POST", "/recover", {"email": email})
    stale = auth.letters.last(email)
    follow(auth, auth.letters.last(new).url)
    assert place(follow(auth, stale.url))[2]["error_code"] == "otp_expired"


def test_a_visitor_becomes_permanent_once_their_address_is_confirmed(auth, email):
    auth.configure(**OPEN | {"anonymous_sign_in": True})
    visitor = auth.call("POST", "/signup", {"data": {"cart": 1}}).json
    waiting = change(auth, visitor["access_token"], email).json
    assert (waiting["is_anonymous"], waiting["new_email"]) == (True, email)
    fragment = place(follow(auth, auth.letters.last(email).url))[2]
    found = me(auth, fragment["access_token"])
    assert (found["id"], found["email"], found["is_anonymous"]) == (visitor["user"]["id"], email, False)
    assert [identity["provider"] for identity in found["identities"]] == ["email"]
    assert found["user_metadata"] == {"cart": 1}
    assert found["email_confirmed_at"]


def test_where_addresses_count_as_confirmed_a_visitor_is_permanent_at_once(auth, email):
    auth.configure(**OPEN | {"anonymous_sign_in": True, "autoconfirm": True})
    visitor = auth.call("POST", "/signup", {}).json
    found = change(auth, visitor["access_token"], email).json
    assert (found["email"], found["is_anonymous"]) == (email, False)
