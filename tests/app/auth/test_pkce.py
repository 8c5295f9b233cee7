"""PKCE: what a challenge may look like, and who gets the session for it."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode

import pytest

from app.auth import pkce
from app.auth.errors import AuthError

VERIFIER = "v" * 50
CHALLENGE = urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@pytest.mark.parametrize("method", ["s256", "S256", "plain", "PLAIN"])
def test_both_methods_are_taken_in_any_case(method):
    given = {"code_challenge": CHALLENGE, "code_challenge_method": method}
    assert pkce.challenge_of(given) == (CHALLENGE, method.lower())


@pytest.mark.parametrize("given", [{}, {"code_challenge": None, "code_challenge_method": None}, {"code_challenge": ""}])
def test_a_request_without_them_is_no_such_flow(given):
    assert pkce.challenge_of(given) is None


@pytest.mark.parametrize(
    "given",
    [
        {"code_challenge": CHALLENGE},
        {"code_challenge_method": "s256"},
        {"code_challenge": "a" * 42, "code_challenge_method": "s256"},
        {"code_challenge": "a" * 129, "code_challenge_method": "s256"},
        {"code_challenge": "a" * 43 + "=", "code_challenge_method": "s256"},
        {"code_challenge": "ä" * 43, "code_challenge_method": "s256"},
        {"code_challenge": CHALLENGE, "code_challenge_method": "md5"},
    ],
)
def test_half_of_them_or_a_malformed_one_is_refused(given):
    with pytest.raises(AuthError) as refused:
        pkce.challenge_of(given)
    assert (refused.value.status, refused.value.code) == (400, "validation_failed")


def test_the_verifier_has_to_be_the_one_that_the_challenge_was_made_of():
    pkce.check_verifier(VERIFIER, CHALLENGE, "s256")
    pkce.check_verifier(VERIFIER, VERIFIER, "plain")
    for verifier, challenge, method in ((VERIFIER + "x", CHALLENGE, "s256"), (VERIFIER, CHALLENGE, "plain")):
        with pytest.raises(AuthError) as refused:
            pkce.check_verifier(verifier, challenge, method)
        assert (refused.value.status, refused.value.code) == (400, "bad_code_verifier")
