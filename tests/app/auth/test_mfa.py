"""Second factors: codes by the clock and authenticators, what they raise a session to, and who cannot use them."""

from __future__ import annotations

import secrets
import threading
import time

import pyotp
import pytest

from tests.app.auth.authenticator import Authenticator
from tests.app.auth.case_runner import COMMON, claims_of

ASKED = {"webauthn": {"rpId": "site.example.com", "rpOrigins": ["https://site.example.com"]}}
HARDWARE = {"mfa_webauthn_enroll": True, "mfa_webauthn_verify": True}


class Person:
    """Somebody with a session, and what they do with their factors."""

    def __init__(self, auth, email):
        self.auth, self.email = auth, email
        insert = "INSERT INTO auth.users (email, aud, role) VALUES (%s, 'authenticated', 'authenticated') RETURNING id"
        self.id = auth.rows(insert, (email,))[0][0]
        self.session = self.sign_in()

    def sign_in(self):
        """A session as a password begins one; hashing it is none of these tests' business."""
        token = secrets.token_urlsafe(24)
        self.auth.rows(
            "WITH s AS (INSERT INTO auth.sessions (user_id) VALUES (%s) RETURNING id, user_id), a AS (INSERT INTO"
            " auth.mfa_amr_claims (session_id, authentication_method) SELECT id, 'password' FROM s) INSERT INTO"
            " auth.refresh_tokens (token, user_id, session_id) SELECT %s, user_id, id FROM s RETURNING id",
            (self.id, token),
        )
        return self.auth.call("POST", "/token?grant_type=refresh_token", {"refresh_token": token}).json

    def call(self, method, path, body=None, **more):
        return self.auth.call(method, path, body, bearer=self.session["access_token"], **more)

    def enroll(self, name="phone", kind="totp"):
        answer = self.call("POST", "/factors", {"factor_type": kind, "friendly_name": name})
        assert answer.status_code == 200, answer.text
        return answer.json

    def challenge(self, factor, **more):
        answer = self.call("POST", f"/factors/{factor['id']}/challenge", more)
        assert answer.status_code == 200, answer.text
        return answer.json

    def verify(self, factor, challenge=None, address="127.0.0.1", **proof):
        challenge = challenge or self.challenge(factor)
        body = {"challenge_id": challenge["id"], **proof}
        return self.call("POST", f"/factors/{factor['id']}/verify", body, address=address)

    def code(self, factor, periods=0):
        return pyotp.TOTP(factor["totp"]["secret"]).at(int(self.auth.now()) + 30 * periods)


@pytest.fixture
def person(auth, email):
    auth.configure(**COMMON)
    return Person(auth, email)


def refused(answer):
    return answer.status_code, answer.json["code"]


def test_a_code_is_taken_once(person):
    factor = person.enroll()
    code = person.code(factor)
    assert person.verify(factor, code=code).status_code == 200
    again = person.verify(factor, code=code)
    assert again.status_code == 422, "A code of a second factor is taken once"
    assert refused(again) == (422, "mfa_verification_failed")
    assert refused(person.verify(factor, code=person.code(factor, -1))) == (422, "mfa_verification_failed"), (
        "nor an older one"
    )
    assert person.verify(factor, code=person.code(factor, 1)).status_code == 200


def test_of_many_who_come_with_one_code_at_once_one_gets_in(person):
    factor = person.enroll()
    code, challenges = person.code(factor), [person.challenge(factor) for _ in range(4)]
    statuses = []
    threads = [
        threading.Thread(target=lambda one=one: statuses.append(person.verify(factor, one, code=code).status_code))
        for one in challenges
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(statuses) == [200, 422, 422, 422]


@pytest.mark.parametrize("periods", [-2, 2])
def test_a_code_of_another_time_is_refused(person, periods):
    factor = person.enroll()
    # In the middle of a period, so that none ends while we ask.
    middle = int(time.time()) // 30 * 30 + 15
    person.auth.now = lambda: middle
    assert refused(person.verify(factor, code=person.code(factor, periods))) == (422, "mfa_verification_failed")
    assert person.verify(factor, code=person.code(factor, periods // 2)).status_code == 200


@pytest.mark.parametrize("code", ["", "12345", "1234567", "१२३४५६", "abcdef", "-12345", None])
def test_what_is_no_code_is_refused(person, code):
    assert refused(person.verify(person.enroll(), code=code)) == (422, "mfa_verification_failed")


def test_a_challenge_ends_with_its_time_and_with_its_answer(person):
    factor = person.enroll()
    challenge = person.challenge(factor)
    start = time.time()
    person.auth.now = lambda: start + 301
    assert refused(person.verify(factor, challenge, code=person.code(factor))) == (422, "mfa_challenge_expired")
    again = person.challenge(factor)
    assert person.verify(factor, again, code=person.code(factor)).status_code == 200
    answer = person.verify(factor, again, code=person.code(factor, 1))
    assert refused(answer) == (422, "mfa_ip_address_mismatch")


def test_a_challenge_is_answered_from_where_it_was_asked_for(person):
    factor = person.enroll()
    challenge = person.challenge(factor)
    elsewhere = person.verify(factor, challenge, "192.0.2.9", code=person.code(factor))
    assert refused(elsewhere) == (422, "mfa_ip_address_mismatch")


def test_attempts_at_one_factor_are_counted_wherever_they_come_from(person):
    person.auth.configure(**COMMON | {"mfa_attempts_per_minute": 3})
    factor = person.enroll()
    challenge = person.challenge(factor)
    answers = [person.verify(factor, challenge, f"192.0.2.{number}", code="000000") for number in range(7)]
    limited = next(answer for answer in answers if answer.status_code == 429)
    assert refused(limited) == (429, "over_request_rate_limit")
    assert int(limited.headers["Retry-After"]) > 0


def test_requests_from_one_address_are_counted(person):
    person.auth.configure(**COMMON | {"mfa_rate_per_minute": 2})
    factor = person.enroll()
    answers = [person.call("POST", f"/factors/{factor['id']}/challenge", {}).status_code for _ in range(4)]
    assert 429 in answers


def test_nobody_else_can_use_or_end_a_factor(auth, person):
    factor = person.enroll()
    challenge, code = person.challenge(factor), person.code(factor)
    other = Person(auth, f"other-{person.email}")
    assert refused(other.verify(factor, challenge, code=code)) == (404, "mfa_factor_not_found")
    assert refused(other.call("DELETE", f"/factors/{factor['id']}")) == (404, "mfa_factor_not_found")
    assert refused(auth.admin("DELETE", f"/admin/users/{other.id}/factors/{factor['id']}")) == (
        404,
        "mfa_factor_not_found",
    )


def test_what_was_begun_and_not_finished_is_in_nobodys_way(person):
    person.auth.configure(**COMMON | {"mfa_factors_max": 1})
    person.enroll("one")
    assert refused(person.call("POST", "/factors", {"factor_type": "totp", "friendly_name": "one"}))[0] == 422
    start = time.time()
    person.auth.now = lambda: start + 301
    assert person.enroll("one")


def test_a_verified_factor_leaves_no_unverified_ones(person):
    kept = person.enroll("kept")
    person.enroll("left")
    person.session = person.verify(kept, code=person.code(kept)).json
    assert [factor["friendly_name"] for factor in person.call("GET", "/user").json["factors"]] == ["kept"]


def test_the_session_stays_the_same_and_its_old_refresh_token_is_the_parent(person):
    factor, before = person.enroll(), person.session
    person.session = person.verify(factor, code=person.code(factor)).json
    was, now = claims_of(before["access_token"]), claims_of(person.session["access_token"])
    assert (was["session_id"], was["aal"]) == (now["session_id"], "aal1")
    assert [means["method"] for means in now["amr"]] == ["totp", "password"]
    assert before["refresh_token"] != person.session["refresh_token"]
    again = person.auth.call("POST", "/token?grant_type=refresh_token", {"refresh_token": before["refresh_token"]})
    assert again.json["refresh_token"] == person.session["refresh_token"], "an answer that was lost is made up for"


def test_a_secret_is_nowhere_but_in_the_answer_to_its_making(person):
    factor = person.enroll()
    secret = factor["totp"]["secret"]
    person.session = person.verify(factor, code=person.code(factor)).json
    shown = (
        person.session,
        person.call("GET", "/user").json,
        person.auth.admin("GET", f"/admin/users/{person.id}/factors").json,
    )
    assert secret not in str(shown)
    assert secret not in str(person.auth.rows("SELECT payload FROM auth.audit_log_entries"))


def test_a_factor_of_an_imported_user_is_good(person):
    secret = pyotp.random_base32()
    person.auth.rows(
        "INSERT INTO auth.mfa_factors (id, user_id, friendly_name, factor_type, status, created_at, updated_at, secret)"
        " VALUES (gen_random_uuid(), %s, 'old phone', 'totp', 'verified', now(), now(), %s) RETURNING id",
        (person.id, secret),
    )
    (factor,) = person.call("GET", "/user").json["factors"]
    answer = person.verify(factor, code=pyotp.TOTP(secret).now())
    assert claims_of(answer.json["access_token"])["aal"] == "aal2"


class Hardware(Person):
    """Somebody with an authenticator as their factor."""

    def answered(self, factor, authenticator, **wrong):
        challenge = self.challenge(factor, **ASKED)
        options = challenge["webauthn"]["credential_options"]["publicKey"]
        answer = getattr(authenticator, {"create": "create", "request": "get"}[challenge["webauthn"]["type"]])(
            options, **wrong
        )
        said = {**ASKED["webauthn"], "type": challenge["webauthn"]["type"], "credential_response": answer}
        return challenge, self.verify(factor, challenge, webauthn=said)


@pytest.fixture
def hardware(auth, email):
    auth.configure(**COMMON | HARDWARE)
    return Hardware(auth, email)


def test_an_authenticator_is_a_second_factor(hardware):
    factor, authenticator = hardware.enroll("key", "webauthn"), Authenticator(verifies=False)
    challenge, answer = hardware.answered(factor, authenticator)
    assert (challenge["type"], challenge["webauthn"]["type"]) == ("webauthn", "create")
    assert answer.status_code == 200, answer.text
    assert [means["method"] for means in claims_of(answer.json["access_token"])["amr"]] == ["mfa/webauthn", "password"]
    hardware.session = hardware.sign_in()
    assert claims_of(hardware.session["access_token"])["aal"] == "aal1"
    challenge, answer = hardware.answered(factor, authenticator)
    known = challenge["webauthn"]["credential_options"]["publicKey"]["allowCredentials"]
    assert (challenge["webauthn"]["type"], len(known)) == ("request", 1)
    assert claims_of(answer.json["access_token"])["aal"] == "aal2"


@pytest.mark.parametrize(
    "wrong",
    [
        {"origin": "https://evil.example.com"},
        {"origin": "http://site.example.com"},
        {"challenge": "AAAA"},
        {"type": "webauthn.create"},
    ],
    ids=str,
)
def test_an_answer_to_something_else_is_refused(hardware, wrong):
    factor, authenticator = hardware.enroll("key", "webauthn"), Authenticator()
    assert hardware.answered(factor, authenticator)[1].status_code == 200
    assert refused(hardware.answered(factor, authenticator, **wrong)[1]) == (422, "mfa_verification_failed")


def test_another_authenticator_is_refused(hardware):
    factor, authenticator = hardware.enroll("key", "webauthn"), Authenticator()
    assert hardware.answered(factor, authenticator)[1].status_code == 200
    other = Authenticator()
    assert refused(hardware.answered(factor, other)[1]) == (422, "mfa_verification_failed")
    other.id = authenticator.id
    assert refused(hardware.answered(factor, other)[1]) == (422, "mfa_verification_failed")


def test_a_copy_of_an_authenticator_is_noticed_by_its_counter(hardware):
    factor, authenticator = hardware.enroll("key", "webauthn"), Authenticator()
    hardware.answered(factor, authenticator)
    authenticator.count = 10
    assert hardware.answered(factor, authenticator)[1].status_code == 200
    authenticator.count = 5
    copied = hardware.answered(factor, authenticator)[1]
    assert copied.status_code == 422, "A copy of an authenticator is noticed by its counter"
    assert refused(copied) == (422, "mfa_verification_failed")


@pytest.mark.parametrize(
    "answer",
    [None, {}, {"id": 1}, {"rawId": "x", "response": None}, {"id": "a", "rawId": "a", "type": "public-key", "response": {}},
     {"id": "YQ", "rawId": "YQ", "type": "public-key", "response": {"clientDataJSON": "e30", "attestationObject": "oA"}},
     {"id": "YQ", "rawId": "YQ", "type": "public-key", "response": {"clientDataJSON": "%", "attestationObject": "////"}}],
    ids=str,
)  # fmt: skip
def test_what_is_no_answer_of_an_authenticator_is_refused(hardware, answer):
    factor = hardware.enroll("key", "webauthn")
    challenge = hardware.challenge(factor, **ASKED)
    said = {**ASKED["webauthn"], "type": "create", "credential_response": answer}
    assert hardware.verify(factor, challenge, webauthn=said).status_code in (400, 422)


@pytest.mark.parametrize(
    "asked",
    [{"rpId": "example.com", "rpOrigins": ["https://evil.test"]}, {"rpId": 7}, {"rpId": "x", "rpOrigins": []},
     {"rpId": "x", "rpOrigins": [7]}, {"rpId": "site.example.com", "rpOrigins": ["https://notsite.example.com"]},
     {"rpId": "x", "rpOrigins": ["javascript://x"]}],
    ids=str,
)  # fmt: skip
def test_a_page_that_is_not_of_its_domain_is_refused(hardware, asked):
    factor = hardware.enroll("key", "webauthn")
    answer = hardware.call("POST", f"/factors/{factor['id']}/challenge", {"webauthn": asked})
    assert refused(answer) == (400, "validation_failed")


def test_where_the_project_names_its_domain_no_other_is_taken(auth, hardware):
    auth.configure(
        **COMMON | HARDWARE | {"webauthn_domain": "site.example.com", "webauthn_origins": ["https://site.example.com"]}
    )
    factor = hardware.enroll("key", "webauthn")
    path = f"/factors/{factor['id']}/challenge"
    other = {"rpId": "example.com", "rpOrigins": ["https://example.com"]}
    assert refused(hardware.call("POST", path, {"webauthn": other})) == (400, "validation_failed")
    assert hardware.call("POST", path, ASKED).status_code == 200
    assert hardware.call("POST", path, {}).status_code == 200
