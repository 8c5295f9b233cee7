"""What a project's tokens prove: the claims of one whose signature holds and whose time it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.data.config import DataConfig
from app.data.errors import PgrstError
from app.data.run import bearer
from infra.secrets import opaque_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

# The clocks of those who make tokens differ from ours; a token that has ended has ended by ours.
AHEAD_SECONDS = 30


class TokenRefused(Exception):
    """A token that proves nothing. The message says why, in the words of the reference."""


def verified_claims(token: str, jwt_secret: str, api_keys: Sequence[str], now: float) -> dict[str, Any]:
    """Return the claims of a project's token that is still good and says when it ends, or of an opaque key.

    api_keys  `role:hash` of each opaque key that is good
    now       the present in seconds of the epoch

    Raises TokenRefused.
    """
    if opaque_keys.is_opaque(token):
        role = opaque_keys.role_of(token, tuple(api_keys))
        if role is None:
            raise TokenRefused("there is no such key")
        return {"role": role}
    try:
        claims = bearer.decode_token(token, DataConfig(jwt_secret=jwt_secret), lambda: now)
        bearer.check_claims(claims, "", now, AHEAD_SECONDS)
    except PgrstError as error:
        raise TokenRefused(error.message) from error
    if claims.get("exp") is None:
        raise TokenRefused("the token never ends")
    if now >= claims["exp"]:
        raise TokenRefused("JWT expired")
    return claims


def bearer_token(header: str | None) -> str | None:
    """Return the token of an Authorization header; None without one, or where another scheme is named."""
    scheme, _, token = (header or "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
