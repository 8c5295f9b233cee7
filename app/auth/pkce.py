"""Proof Key for Code Exchange (RFC 7636): whoever finishes a sign-in is the one who began it."""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING

from app.auth.errors import AuthError, validation_error

if TYPE_CHECKING:
    from collections.abc import Mapping

SHORTEST, LONGEST = 43, 128
METHODS = ("s256", "plain")
# Tokens of letters that belong to such a flow begin with it.
PREFIX = "pkce_"
_ALPHABET = re.compile(r"[A-Za-z0-9._~-]+")

Challenge = tuple[str, str]


def challenge_of(given: Mapping[str, object]) -> Challenge | None:
    """Return code challenge and method of a request, or None of one without. given: its body or query.

    Raises AuthError (400).
    """
    challenge, method = given.get("code_challenge") or "", given.get("code_challenge_method") or ""
    if not isinstance(challenge, str) or not isinstance(method, str):
        raise AuthError(400, "bad_json", "Could not parse request body as JSON: code_challenge must be a string")
    if bool(challenge) != bool(method):
        raise validation_error("PKCE flow requires code_challenge_method and code_challenge")
    if not challenge:
        return None
    if not SHORTEST <= len(challenge) <= LONGEST:
        raise validation_error(f"code challenge has to be between {SHORTEST} and {LONGEST} characters")
    if _ALPHABET.fullmatch(challenge) is None:
        raise validation_error(
            "code challenge can only contain alphanumeric characters, hyphens, periods, underscores and tildes"
        )
    if method.lower() not in METHODS:
        raise validation_error(f"unsupported code_challenge method {method!r}")
    return challenge, method.lower()


def check_verifier(verifier: str, challenge: str, method: str) -> None:
    """Raise AuthError (400) unless the challenge was made of this verifier."""
    made = verifier
    if method == "s256":
        made = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    if not hmac.compare_digest(made.encode(), challenge.encode()):
        raise AuthError(400, "bad_code_verifier", "code challenge does not match previously saved code verifier")
