"""JSON Web Tokens: the owners' access tokens, HS256 and nothing else; and signatures by the keys of a project."""

from __future__ import annotations

import base64
import functools
import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import jwt

from infra.errors import Refused
from infra.secrets import signing_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

ALGORITHM = "HS256"
ISSUER, AUDIENCE, ACCESS = "launchdb", "launchdb:platform", "access"
_REQUIRED = ["exp", "iat", "iss", "aud", "sub"]
# A key shorter than its hash is guessed sooner than the hash is broken.
_SIGNATURES = jwt.PyJWS(options={"enforce_minimum_key_length": True})
_SYMMETRIC = frozenset({"HS256", "HS384", "HS512"})
# Ours have some 400 characters; whatever is much longer is not looked at.
_LONGEST = 4096
# Without padding, and the 32 bytes of a signature in the one way to write them: a token has one spelling.
_FORM = re.compile(r"[\w-]+\.[\w-]+\.[\w-]{42}[AEIMQUYcgkosw048]", re.ASCII)
# No access token is issued for longer; config.settings refuses more.
LONGEST_LIFE_SECONDS = 86_400


class TokenRefused(Refused):
    """The token is not one of ours, or no longer good."""


def sign_token(claims: dict[str, Any], key: str) -> str:
    """Return the token of these claims, signed with `key`: a plain text (HS256), or a JWK, which the token names."""
    by = signing_keys.signer(key)
    return jwt.encode(claims, by.key, algorithm=by.algorithm, headers={"kid": by.kid} if by.kid else None)


def access_token(owner_id: str, key: str, *, now: int, seconds: int, session: str | None = None) -> str:
    """Return an access token of the platform API.

    now      the present in seconds of the epoch
    session  the sign-in that it ends with; None: it ends by its time alone
    """
    claims = {"iss": ISSUER, "aud": AUDIENCE, "typ": ACCESS, "sub": owner_id, "iat": now, "exp": now + seconds}
    return sign_token(claims if session is None else {**claims, "sid": session}, key)


def verify_access(token: str, keys: Sequence[str]) -> dict[str, Any]:
    """Return the claims of an access token that one of `keys` signed. Raises TokenRefused."""
    if len(token) > _LONGEST:
        raise TokenRefused("the token is too long")
    if _FORM.fullmatch(token) is None:
        raise TokenRefused("the token is not written as tokens are")
    claims: dict[str, Any] | None = None
    for key in keys:
        try:
            claims = _decode(token, key)
        except jwt.InvalidSignatureError:
            continue
        except (jwt.PyJWTError, ValueError) as error:
            raise TokenRefused("the token is malformed, expired or made for something else") from error
        break
    if claims is None:
        raise TokenRefused("the token's signature is not ours")
    return _strict(claims)


def _decode(token: str, key: str) -> dict[str, Any]:
    # A header that says more than algorithm and type (kid, jku, jwk, x5u, crit) is none that we wrote.
    if set(jwt.get_unverified_header(token)) - {"alg", "typ"}:
        raise jwt.InvalidTokenError("unknown header")
    claims: dict[str, Any] = jwt.decode(
        token,
        key,
        algorithms=[ALGORITHM],
        audience=AUDIENCE,
        issuer=ISSUER,
        options={"require": _REQUIRED, "strict_aud": True},
    )
    return claims


def _strict(claims: dict[str, Any]) -> dict[str, Any]:
    """Refuse what the library lets pass: times as text or fractions, another kind of token."""
    if not all(type(claims[name]) is int for name in ("exp", "iat")):
        raise TokenRefused("the token's times are not whole numbers")
    if not 0 < claims["exp"] - claims["iat"] <= LONGEST_LIFE_SECONDS:
        raise TokenRefused("the token would live longer than any of ours")
    if claims.get("typ") != ACCESS or not isinstance(claims.get("sid", ""), str):
        raise TokenRefused("the token is not an access token")
    return claims


class SignatureRefused(Refused):
    """No key signed this token. why: it is malformed, its algorithm is none of ours, or its signature is wrong."""

    def __init__(self, why: Literal["malformed", "critical", "algorithm", "signature"]) -> None:
        super().__init__(f"the token is not signed by a key of ours: {why}")
        self.why = why


@dataclass(frozen=True)
class VerificationKey:
    """A key, which is good for one algorithm; kid: its name in a JWKS, or empty; until: in seconds of the epoch."""

    key: jwt.PyJWK
    kid: str
    until: float = math.inf


def key_set(keys: Sequence[tuple[str, float | None]]) -> str:
    """Return the secret that `verification_keys` takes for all of these: a text as it is, or a JWKS of several.

    keys  texts of HS256 keys, or JWKs, of which no private part gets in; each with the second of the epoch from which
          on it is good no more, or None
    """
    if len(keys) == 1 and keys[0][1] is None and signing_keys.read_jwk(keys[0][0]) is None:
        return keys[0][0]
    listed = []
    for text, until in keys:
        key = _verifying(text)
        listed.append(key if until is None else {**key, "exp": until})
    return json.dumps({"keys": listed}, separators=(",", ":"))


def _verifying(text: str) -> dict[str, Any]:
    """Return the JWK by which signatures of a key are verified."""
    key = signing_keys.read_jwk(text)
    if key is None:
        plain = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
        return {"kty": "oct", "k": plain, "alg": ALGORITHM, "use": "sig"}
    return signing_keys.public_jwk(key) or key


def public_keys(secret: str, now: float) -> list[dict[str, Any]]:
    """Return the JWKs of a secret (see `verification_keys`) that anybody may know and that have not ended."""
    listed = (_json_object(secret) or {}).get("keys", [])
    shown = [(signing_keys.public_jwk(key), key.get("exp", math.inf)) for key in listed]
    return [key for key, until in shown if key is not None and until > now]


@functools.lru_cache(maxsize=4096)
def verification_keys(secret: str, *, is_base64: bool = False) -> tuple[VerificationKey, ...]:
    """Return the keys that a secret stands for: a text is pinned to HS256, a JWKS names the algorithm of each.

    A key of a JWKS that cannot be used (too short, for encryption, of an unknown kind) is left out. Its member exp,
    which is ours, says when a key ends that is being rotated.
    """
    text = secret.strip()
    if not text:
        return ()
    found = _json_object(text)
    if found is None:
        raw = base64.b64decode(text.translate(str.maketrans("_-.", "/+="))) if is_base64 else _bytes_of(text)
        plain = base64.urlsafe_b64encode(raw).decode().rstrip("=")
        found = {"kty": "oct", "k": plain, "alg": ALGORITHM}
    listed = found.get("keys", [found])
    return tuple(key for each in listed if (key := _named(each)) is not None) if isinstance(listed, list) else ()


def _bytes_of(text: str) -> bytes:
    """Return the bytes of a secret; those that are no UTF-8 came with Python's escapes, out of a file."""
    return text.encode("utf-8", "surrogateescape")


def signed_claims(token: str, keys: Sequence[VerificationKey]) -> tuple[bytes, float]:
    """Return the claims, as they were signed, of a token that one of `keys` signed, and when that key ends.

    Of several keys for its algorithm the one it names (kid) is tried, or all when it names none of them. Whether the
    key has ended already is the caller's to say. Raises SignatureRefused.
    """
    header = _header(token)
    if header is None:
        raise SignatureRefused("malformed")
    if "crit" in header:
        raise SignatureRefused("critical")
    algorithm = header.get("alg")
    if algorithm not in _KNOWN:
        raise SignatureRefused("algorithm")
    fitting = [named for named in keys if named.key.algorithm_name == algorithm]
    for named in [named for named in fitting if named.kid and named.kid == header.get("kid")] or fitting:
        try:
            return bytes(_SIGNATURES.decode(token, named.key, algorithms=[str(algorithm)])), named.until
        except (jwt.InvalidSignatureError, jwt.InvalidKeyError):
            continue
        except (jwt.PyJWTError, ValueError) as error:
            raise SignatureRefused("malformed") from error
    raise SignatureRefused("signature")


_KNOWN = frozenset(jwt.PyJWS().get_algorithms()) - {"none"}


def _named(key: Any) -> VerificationKey | None:
    if not isinstance(key, dict) or key.get("use", "sig") != "sig":
        return None
    try:
        made = jwt.PyJWK(key)
    except (jwt.PyJWTError, ValueError, TypeError, NotImplementedError):
        return None
    if (key["kty"] == "oct") != (made.algorithm_name in _SYMMETRIC):  # what is public signs nothing
        return None
    until = key.get("exp", math.inf)
    if isinstance(until, bool) or not isinstance(until, int | float):
        return None
    return VerificationKey(made, str(key.get("kid", "")), until)


def _header(token: str) -> dict[str, Any] | None:
    # The library would read the whole token to say this, and once more to check it.
    segment = token.partition(".")[0]
    try:
        return _json_object(base64.b64decode(segment + "=" * (-len(segment) % 4), b"-_", validate=True).decode())
    except ValueError:
        return None


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text) if text.startswith("{") else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
