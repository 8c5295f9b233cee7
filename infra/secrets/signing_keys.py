"""Keys that a project's tokens are signed with, each one as the text of a JWK (RFC 7517) that names its algorithm."""

from __future__ import annotations

import base64
import functools
import json
import secrets
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

if TYPE_CHECKING:
    from collections.abc import Mapping

Algorithm = Literal["ES256", "RS256", "HS256"]
ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)
SHARED: Algorithm = "HS256"
RSA_BITS, SHARED_BYTES = 2048, 32
_PUBLIC_MEMBERS = {"EC": ("crv", "x", "y"), "RSA": ("n", "e"), "OKP": ("crv", "x")}
_DESCRIPTION = ("kty", "kid", "alg", "use")


@dataclass(frozen=True)
class SigningKey:
    """A key that signs. kid: its name in a JWKS; empty for a secret that is a plain text."""

    key: Any = field(repr=False)
    algorithm: str
    kid: str


def make_signing_key(algorithm: Algorithm) -> str:
    """Make a key of one's own name (kid), and return it whole: the private part with the public one."""
    if algorithm == "ES256":
        members = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()), as_dict=True)
    elif algorithm == "RS256":
        members = RSAAlgorithm.to_jwk(rsa.generate_private_key(65_537, RSA_BITS), as_dict=True)
    else:
        raw = base64.urlsafe_b64encode(secrets.token_bytes(SHARED_BYTES)).decode().rstrip("=")
        members = {"kty": "oct", "k": raw}
    members.pop("key_ops", None)
    return json.dumps({**members, "kid": str(uuid.uuid4()), "alg": algorithm, "use": "sig"}, sort_keys=True)


def read_jwk(text: str) -> dict[str, Any] | None:
    """Return the JWK that a text is, or None for a plain secret."""
    if not text.startswith("{"):
        return None
    found = json.loads(text)
    return found if isinstance(found, dict) else None


def public_jwk(key: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what of a JWK anybody may know; None of a symmetric key, of which that is nothing."""
    members = _PUBLIC_MEMBERS.get(str(key.get("kty")))
    if members is None:
        return None
    return {name: key[name] for name in (*_DESCRIPTION, *members) if name in key}


@functools.lru_cache(maxsize=1024)
def signer(text: str) -> SigningKey:
    """Return the key that a text is: a JWK with a private part, or a plain secret for HS256.

    Raises jwt.PyJWKError for a JWK that is none.
    """
    found = read_jwk(text)
    if found is None:
        return SigningKey(text, SHARED, "")
    made = jwt.PyJWK(found)
    return SigningKey(made.key, made.algorithm_name, str(found.get("kid", "")))


def is_signing_key(text: str) -> bool:
    """Return whether a text is a key that signs: a JWK with its private part, its name and its algorithm."""
    try:
        if read_jwk(text) is None:
            return False
        by = signer(text)
        jwt.encode({}, by.key, algorithm=by.algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
        return False
    return bool(by.kid) and by.algorithm in ALGORITHMS
