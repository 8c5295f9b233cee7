"""JSON Web Tokens: HS256 and nothing else. The owners' access tokens are issued and verified here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jwt

from infra.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

ALGORITHM = "HS256"
ISSUER, AUDIENCE, ACCESS = "launchdb", "launchdb:platform", "access"
_REQUIRED = ["exp", "iat", "iss", "aud", "sub"]
# Ours have some 400 characters; whatever is much longer is not looked at.
_LONGEST = 4096


class TokenRefused(Refused):
    """The token is not one of ours, or no longer good."""


def sign(claims: dict[str, Any], key: str) -> str:
    """Return the token of these claims, signed with `key`."""
    return jwt.encode(claims, key, algorithm=ALGORITHM)


def access_token(owner_id: str, key: str, *, now: int, seconds: int, session: str | None = None) -> str:
    """Return an access token of the platform API.

    now      the present in seconds of the epoch
    session  the sign-in that it ends with; None: it ends by its time alone
    """
    claims = {"iss": ISSUER, "aud": AUDIENCE, "typ": ACCESS, "sub": owner_id, "iat": now, "exp": now + seconds}
    return sign(claims if session is None else {**claims, "sid": session}, key)


def verify_access(token: str, keys: Sequence[str]) -> dict[str, Any]:
    """Return the claims of an access token that one of `keys` signed. Raises TokenRefused."""
    if len(token) > _LONGEST:
        raise TokenRefused("the token is too long")
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
    if claims.get("typ") != ACCESS or not isinstance(claims.get("sid", ""), str):
        raise TokenRefused("the token is not an access token")
    return claims
