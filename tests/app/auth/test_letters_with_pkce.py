"""PKCE with letters: the link brings a code, which is of use to whoever began the flow, once, for five minutes."""

from __future__ import annotations

import time

import pytest

from tests.app.auth.case_runner import claims_of
from tests.app.auth.conftest import PASSWORD
from tests.app.auth.mailed import APP, OPEN, Flow, at_once, follow, person, place, refused, signed_in


@pytest.fixture(autouse=True)
def _configured(auth):
    auth.configure(**OPEN)


@pytest.fixture
def flow():
    return Flow()


def code_of(auth, email):
    """The code that the newest link to somebody brings, and nothing else."""
    letter = auth.letters.last(email)
    assert letter.token_hash.startswith("pkce_")
    _, query, fragment = place(follow(auth, letter.url))
    assert (list(query), fragment) == (["code"], {})
    return query["code"]


@pytest.mark.parametrize(
    ("path", "known", "method"),
    [
        ("/otp", True, "magiclink"),
        ("/otp", False, "email/signup"),
        ("/recover", True, "recovery"),
        ("/signup", False, "email/signup"),
        ("/magiclink", True, "magiclink"),
    ],
)
def test_a_link_brings_a_code_for_who_began(auth, email, flow, path, known, method):
    if known:
        person(auth, email)
    body = {"email": email, **({"password": PASSWORD} if path == "/signup" else {}), **flow.members}
    assert auth.call("POST", path, body).status_code == 200
    session = flow.exchange(auth, code_of(auth, email))
    assert session.status_code == 200, session.text
    assert session.json["user"]["email"] == email
    assert [one["method"] for one in claims_of(session.json["access_token"])["amr"]] == [method]


def test_a_code_is_good_once_also_for_ten_at_once(auth, email, flow):
    auth.call("POST", "/otp", {"email": email, **flow.members})
    code = code_of(auth, email)
    statuses = sorted(answer.status_code for answer in at_once(10, lambda _: flow.exchange(auth, code)))
    assert statuses == [200] + [404] * 9
    refused(flow.exchange(auth, code), 404, "flow_state_not_found")


def test_another_verifier_gets_nothing_and_takes_nothing_away(auth, email, flow):
    auth.call("POST", "/otp", {"email": email, **flow.members})
    code = code_of(auth, email)
    answer = flow.exchange(auth, code, Flow().verifier)
    assert answer.status_code == 400, "A code of PKCE is of use to whoever began the flow"
    refused(answer, 400, "bad_code_verifier")
    assert flow.exchange(auth, code).status_code == 200


@pytest.mark.parametrize("body", [{"auth_code": "x"}, {"code_verifier": "x"}, {"auth_code": "", "code_verifier": ""}])
def test_half_an_exchange_is_none(auth, body):
    refused(auth.call("POST", "/token?grant_type=pkce", body), 400, "validation_failed")


def test_a_link_may_lie_for_a_while_and_its_code_may_not(auth, email, flow):
    person(auth, email)
    auth.call("POST", "/recover", {"email": email, **flow.members})
    auth.now = lambda: time.time() + 3000
    code = code_of(auth, email)
    auth.now = lambda: time.time() + 3000 + 301
    refused(flow.exchange(auth, code), 422, "flow_state_expired")
    auth.now = lambda: time.time() + 3000 + 290
    assert flow.exchange(auth, code).status_code == 200


def test_the_code_of_a_letter_needs_no_verifier(auth, email, flow):
    auth.call("POST", "/otp", {"email": email, **flow.members})
    letter = auth.letters.last(email)
    answer = auth.call("POST", "/verify", {"type": "email", "email": email, "token": letter.token})
    assert answer.json["access_token"]
    auth.call("POST", "/otp", {"email": email, **flow.members})
    answer = auth.call("POST", "/verify", {"type": "magiclink", "token_hash": auth.letters.last(email).token_hash})
    assert answer.json["access_token"]


def test_errors_stand_in_query_and_fragment(auth, email, flow):
    auth.call("POST", f"/otp?redirect_to={APP}?a=b", {"email": email, **flow.members})
    url = auth.letters.last(email).url
    follow(auth, url)
    to, query, fragment = place(follow(auth, url))
    assert to == APP
    assert fragment.pop("sb") == ""
    assert query == {"a": "b", **fragment}
    assert (fragment["error"], fragment["error_code"]) == ("access_denied", "otp_expired")


def test_a_link_without_its_flow_says_so_and_stays_good(auth, email, flow):
    person(auth, email)
    auth.call("POST", "/recover", {"email": email, **flow.members})
    auth.rows("DELETE FROM auth.flow_state RETURNING id")
    url = auth.letters.last(email).url
    for _ in range(2):
        assert place(follow(auth, url))[1]["error_code"] == "flow_state_not_found"


def test_letters_that_are_written_again_belong_to_the_flow_that_asks(auth, email, flow):
    auth.call("POST", "/signup", {"email": email, "password": PASSWORD, **Flow().members})
    auth.call("POST", "/resend", {"type": "signup", "email": email, **flow.members})
    assert flow.exchange(auth, code_of(auth, email)).status_code == 200


def test_a_change_of_address_ends_with_a_code(auth, email, flow):
    person(auth, email)
    token, new = signed_in(auth, email)["access_token"], f"n{email}"
    assert auth.call("PUT", "/user", {"email": new, **flow.members}, bearer=token).status_code == 200
    _, query, fragment = place(follow(auth, auth.letters.last(email).url))
    assert query["message"] == fragment["message"]
    assert "other email" in query["message"]
    assert flow.exchange(auth, code_of(auth, new)).json["user"]["email"] == new


def test_who_is_deleted_in_between_gets_nothing(auth, email, flow):
    user = person(auth, email)
    auth.call("POST", "/otp", {"email": email, **flow.members})
    code = code_of(auth, email)
    auth.admin("DELETE", f"/admin/users/{user['id']}", {})
    refused(flow.exchange(auth, code), 404, "flow_state_not_found")


def test_who_is_banned_in_between_gets_nothing(auth, email, flow):
    user = person(auth, email)
    auth.call("POST", "/otp", {"email": email, **flow.members})
    code = code_of(auth, email)
    auth.admin("PUT", f"/admin/users/{user['id']}", {"ban_duration": "1h"})
    refused(flow.exchange(auth, code), 400, "user_banned")
