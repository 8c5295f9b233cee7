"""How many letters there are, and how often codes are tried; and that nothing of it tells who is known."""

from __future__ import annotations

import statistics
import time

import psycopg
import pytest

from tests.app.auth.conftest import PASSWORD
from tests.app.auth.mailed import OPEN, Flow, at_once, person, refused, signed_in

SOON = "over_email_send_rate_limit"


@pytest.fixture(autouse=True)
def _configured(auth):
    auth.configure(**OPEN)


def until_refused(request, at_most):
    """How many requests were let pass before the first refusal, and that one. A new minute may begin in between."""
    for passed in range(2 * at_most + 1):
        answer = request()
        if answer.status_code == 429:
            return passed, answer
    raise AssertionError(f"{2 * at_most + 1} requests were let pass")


def ask(auth, path, email, **more):
    known = {"/signup": {"password": PASSWORD}, "/resend": {"type": "signup"}}
    return auth.call("POST", path, {"email": email, **known.get(path, {}), **more})


@pytest.mark.parametrize("path", ["/recover", "/otp", "/signup", "/resend"])
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_one_letter_a_minute_goes_to_an_address_and_nobody_learns_whose_it_is(auth, email, path, known):
    auth.configure(**OPEN | {"mail_interval_seconds": 60})
    if known:
        person(auth, email)
    assert ask(auth, path, email.upper()).status_code == 200
    answer = ask(auth, path, email)
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert "after" in refused(answer, 429, SOON)["message"]
    assert auth.letters.count(email) <= 1
    assert ask(auth, path, f"x{email}").status_code == 200


def test_of_ten_at_once_one_letter_goes_out(auth, email):
    auth.configure(**OPEN | {"mail_interval_seconds": 60})
    person(auth, email)
    statuses = sorted(answer.status_code for answer in at_once(10, lambda _: ask(auth, "/recover", email)))
    assert statuses == [200] + [429] * 9
    assert auth.letters.count(email) == 1


def test_an_interval_holds_for_those_who_are_signed_in_too(auth, email):
    person(auth, email)
    token = signed_in(auth, email)["access_token"]
    auth.configure(**OPEN | {"mail_interval_seconds": 60})
    assert auth.call("GET", "/reauthenticate", bearer=token).status_code == 200
    refused(auth.call("GET", "/reauthenticate", bearer=token), 429, SOON)
    assert auth.call("PUT", "/user", {"email": f"n{email}"}, bearer=token).status_code == 200
    refused(auth.call("PUT", "/user", {"email": f"m{email}"}, bearer=token), 429, SOON)
    assert auth.call("GET", "/user", bearer=token).json["new_email"] == f"n{email}"
    refused(auth.call("POST", "/resend", {"type": "email_change", "email": email}), 429, SOON)


def test_a_project_has_so_many_letters_an_hour_and_no_more(auth, email):
    auth.configure(**OPEN | {"mails_per_hour": 1})  # of this hour it has had more already, for known and unknown alike
    person(auth, email)
    for to in (email, f"x{email}"):
        ask(auth, "/recover", to)
        answer = ask(auth, "/recover", to)
        refused(answer, 429, SOON)
        assert 1 <= int(answer.headers["Retry-After"]) <= 3600
    assert auth.letters.count(email) <= 1


@pytest.mark.parametrize(
    ("setting", "method", "path", "body"),
    [
        ("otp_rate_per_minute", "POST", "/recover", {"email": "limit-a@example.org"}),
        ("verify_rate_per_minute", "POST", "/verify", {"type": "email", "token_hash": "x"}),
        ("verify_rate_per_minute", "GET", "/verify?type=signup&token=x", None),
    ],
)
def test_an_address_asks_so_often_in_a_minute_and_no_more(auth, setting, method, path, body):
    auth.configure(**OPEN | {setting: 1})
    _, answer = until_refused(lambda: auth.call(method, path, body), 1)
    refused(answer, 429, "over_request_rate_limit")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


def test_a_code_is_not_guessed(auth, email):
    person(auth, email)
    auth.call("POST", "/otp", {"email": email})
    code = auth.letters.last(email).token
    wrong = {"type": "email", "email": email, "token": f"{(int(code) + 1) % 1_000_000:06}"}
    passed, _ = until_refused(lambda: auth.call("POST", "/verify", wrong), 10)
    assert passed >= 10
    right = {"type": "email", "email": email, "token": code}
    refused(auth.call("POST", "/verify", right), 429, "over_request_rate_limit")
    hashed = {"type": "email", "token_hash": auth.letters.last(email).token_hash}
    assert auth.call("POST", "/verify", hashed).status_code == 200, "the link goes on to work"


@pytest.mark.parametrize("path", ["/recover", "/otp", "/resend"])
def test_a_known_and_an_unknown_address_are_answered_alike(auth, email, path):
    person(auth, email)
    answers = [ask(auth, path, to) for to in (email, f"x{email}")]
    assert {(answer.status_code, answer.text) for answer in answers} == {(200, "{}\n".strip())}
    assert len({tuple(sorted(answer.headers.keys())) for answer in answers}) == 1


def medians(auth, path, count):
    """The median time of an answer for addresses that are known, and that are not."""
    took = {True: [], False: []}
    for number in range(count + 5):
        known, unknown = f"known-{number}-{time.time_ns()}@example.org", f"none-{number}-{time.time_ns()}@example.org"
        person(auth, known)
        for is_known in (True, False) if number % 2 else (False, True):
            began = time.perf_counter()
            answer = ask(auth, path, known if is_known else unknown)
            took[is_known].append(time.perf_counter() - began)
            assert answer.status_code == 200
    return {is_known: statistics.median(found[5:]) for is_known, found in took.items()}


@pytest.fixture
def trips(monkeypatch):
    """Counts the round trips to Postgres."""
    counted = []
    execute = psycopg.Cursor.execute

    def counting(self, query, *arguments, **more):
        counted.append(query)
        return execute(self, query, *arguments, **more)

    monkeypatch.setattr(psycopg.Cursor, "execute", counting)
    return counted


@pytest.mark.parametrize("path", ["/recover", "/otp", "/resend", "/signup"])
@pytest.mark.parametrize("pkce", [False, True], ids=["plain", "pkce"])
def test_a_known_address_costs_as_many_round_trips_as_an_unknown_one(auth, email, path, pkce, trips):
    person(auth, email)
    costs = []
    for to in (email, f"x{email}"):
        trips.clear()
        assert ask(auth, path, to, **(Flow().members if pkce else {})).status_code == 200
        costs.append(len(trips))
    assert costs[0] == costs[1] > 2, "A letter to nobody costs as many round trips as one to somebody"


@pytest.mark.timing
@pytest.mark.parametrize("path", ["/recover", "/otp", "/resend", "/signup"])
def test_a_known_address_takes_as_long_as_an_unknown_one(auth, path):
    found = medians(auth, path, 8 if path == "/signup" else 40)
    assert abs(found[True] - found[False]) < max(0.005, 0.5 * found[False]), found


@pytest.mark.timing
@pytest.mark.full
@pytest.mark.parametrize("path", ["/recover", "/otp", "/resend", "/signup"])
def test_two_hundred_answers_tell_no_known_address_from_an_unknown_one(auth, path):
    found = medians(auth, path, 200)
    assert abs(found[True] - found[False]) < 0.005, found
