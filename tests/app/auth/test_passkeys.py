"""Passkeys: somebody registers an authenticator that knows them, and signs in by it alone."""

from __future__ import annotations

import time

import pytest

from tests.app.auth.authenticator import Authenticator
from tests.app.auth.case_runner import COMMON, claims_of
from tests.app.auth.test_mfa import Person, refused

PASSKEYS = COMMON | {"passkeys": True}


class Holder(Person):
    """Somebody with passkeys."""

    def register(self, authenticator, **wrong):
        asked = self.call("POST", "/passkeys/registration/options", {})
        assert asked.status_code == 200, asked.text
        body = {
            "challenge_id": asked.json["challenge_id"],
            "credential": authenticator.create(asked.json["options"], **wrong),
        }
        return self.call("POST", "/passkeys/registration/verify", body)

    def listed(self):
        return self.call("GET", "/passkeys").json


@pytest.fixture
def holder(auth, email):
    auth.configure(**PASSKEYS)
    return Holder(auth, email)


def options(auth):
    answer = auth.call("POST", "/passkeys/authentication/options", {"gotrue_meta_security": {}})
    assert answer.status_code == 200, answer.text
    return answer.json


def signed_in(auth, authenticator, asked=None, **wrong):
    asked = asked or options(auth)
    body = {"challenge_id": asked["challenge_id"], "credential": authenticator.get(asked["options"], **wrong)}
    return auth.call("POST", "/passkeys/authentication/verify", body)


def test_somebody_registers_a_passkey_and_signs_in_by_it_without_a_name(auth, holder):
    authenticator = Authenticator()
    made = holder.register(authenticator)
    assert made.status_code == 200, made.text
    assert set(made.json) == {"id", "created_at"}
    asked = options(auth)
    assert (asked["options"].get("allowCredentials", []), asked["options"]["userVerification"]) == ([], "required")
    session = signed_in(auth, authenticator, asked)
    assert session.status_code == 200, session.text
    assert session.json["user"]["id"] == str(holder.id)
    claims = claims_of(session.json["access_token"])
    assert (claims["aal"], [means["method"] for means in claims["amr"]]) == ("aal1", ["passkey"])
    assert auth.call("GET", "/user", bearer=session.json["access_token"]).status_code == 200
    assert holder.listed()[0]["last_used_at"]


def test_an_answer_counts_once(auth, holder):
    authenticator = Authenticator()
    holder.register(authenticator)
    asked = options(auth)
    assert signed_in(auth, authenticator, asked).status_code == 200
    assert refused(signed_in(auth, authenticator, asked)) == (400, "webauthn_challenge_not_found")


def test_a_wrong_answer_uses_the_challenge_up(auth, holder):
    authenticator = Authenticator()
    holder.register(authenticator)
    asked = options(auth)
    assert refused(signed_in(auth, Authenticator(), asked)) == (400, "webauthn_verification_failed")
    assert refused(signed_in(auth, authenticator, asked)) == (400, "webauthn_challenge_not_found")


def test_a_challenge_ends_with_its_time(auth, holder):
    authenticator = Authenticator()
    holder.register(authenticator)
    asked, start = options(auth), time.time()
    auth.now = lambda: start + 301
    assert refused(signed_in(auth, authenticator, asked)) == (400, "webauthn_challenge_not_found")


@pytest.mark.parametrize(
    "wrong", [{"origin": "https://evil.example.com"}, {"challenge": "AAAA"}, {"type": "webauthn.create"}], ids=str
)
def test_an_answer_to_something_else_signs_nobody_in(auth, holder, wrong):
    authenticator = Authenticator()
    holder.register(authenticator)
    assert refused(signed_in(auth, authenticator, **wrong)) == (400, "webauthn_verification_failed")


def test_an_authenticator_that_does_not_know_its_user_is_not_enough(auth, holder):
    assert refused(holder.register(Authenticator(verifies=False))) == (400, "webauthn_verification_failed")
    authenticator = Authenticator()
    holder.register(authenticator)
    authenticator.verifies = False
    assert refused(signed_in(auth, authenticator)) == (400, "webauthn_verification_failed")


def test_a_passkey_signs_in_its_holder_and_nobody_else(auth, holder):
    other = Holder(auth, f"other-{holder.email}")
    authenticator = Authenticator()
    holder.register(authenticator)
    authenticator.handle = other.id.bytes
    assert refused(signed_in(auth, authenticator)) == (400, "webauthn_verification_failed")
    assert refused(other.register(authenticator))[1] == "webauthn_credential_exists"
    passkey = holder.listed()[0]["id"]
    assert other.listed() == []
    assert other.call("DELETE", f"/passkeys/{passkey}").status_code == 404
    assert other.call("PATCH", f"/passkeys/{passkey}", {"friendly_name": "mine"}).status_code == 404
    asked = other.call("POST", "/passkeys/registration/options", {}).json
    body = {"challenge_id": asked["challenge_id"], "credential": Authenticator().create(asked["options"])}
    assert refused(holder.call("POST", "/passkeys/registration/verify", body)) == (400, "webauthn_challenge_not_found")


def test_passkeys_are_named_listed_and_forgotten(auth, holder):
    authenticator = Authenticator()
    passkey = holder.register(authenticator).json["id"]
    renamed = holder.call("PATCH", f"/passkeys/{passkey}", {"friendly_name": "my laptop"})
    assert (renamed.status_code, renamed.json["friendly_name"]) == (200, "my laptop")
    assert [each["friendly_name"] for each in auth.admin("GET", f"/admin/users/{holder.id}/passkeys").json] == [
        "my laptop"
    ]
    gone = holder.call("DELETE", f"/passkeys/{passkey}")
    assert (gone.status_code, gone.data) == (204, b"")
    assert refused(signed_in(auth, authenticator)) == (400, "webauthn_verification_failed")
    other = holder.register(Authenticator()).json["id"]
    assert auth.admin("DELETE", f"/admin/users/{holder.id}/passkeys/{other}").status_code == 204
    assert holder.listed() == []


def test_a_banned_holder_does_not_get_in(auth, holder):
    authenticator = Authenticator()
    holder.register(authenticator)
    auth.admin("PUT", f"/admin/users/{holder.id}", {"ban_duration": "24h"})
    assert refused(signed_in(auth, authenticator)) == (400, "user_banned")


def test_with_a_second_factor_the_first_level_changes_no_passkeys(auth, holder):
    authenticator = Authenticator()
    passkey = holder.register(authenticator).json["id"]
    factor = holder.enroll()
    raised = holder.verify(factor, code=holder.code(factor)).json
    holder.session = signed_in(auth, authenticator).json
    asked = holder.call("POST", "/passkeys/registration/options", {})
    assert asked.status_code == 403, "With a second factor, a session of the first level changes no way in"
    assert refused(asked) == (403, "insufficient_aal")
    assert refused(holder.call("DELETE", f"/passkeys/{passkey}")) == (403, "insufficient_aal")
    holder.session = raised
    assert holder.call("DELETE", f"/passkeys/{passkey}").status_code == 204


@pytest.mark.parametrize(
    "credential", [{}, {"rawId": 7}, {"rawId": "!"}, {"rawId": "YQ", "response": {"userHandle": "YQ"}}], ids=str
)
def test_what_is_no_credential_is_refused(auth, holder, credential):
    asked = options(auth)
    body = {"challenge_id": asked["challenge_id"], "credential": credential}
    answer = auth.call("POST", "/passkeys/authentication/verify", body)
    assert refused(answer) == (400, "webauthn_verification_failed")


def test_without_a_domain_of_its_own_the_project_has_no_passkeys(auth, holder):
    auth.configure(**PASSKEYS | {"site_url": ""})
    answer = auth.call("POST", "/passkeys/authentication/options", {})
    assert refused(answer) == (404, "passkey_disabled")
    auth.configure(
        **PASSKEYS | {"site_url": "", "webauthn_domain": "localhost", "webauthn_origins": ["http://localhost:5173"]}
    )
    authenticator = Authenticator("localhost", "http://localhost:5173")
    assert holder.register(authenticator).status_code == 200
    assert signed_in(auth, authenticator).status_code == 200
