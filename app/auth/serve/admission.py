"""Who gets through to a view: by API key, as a signed-in user, or with the service role."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from app.auth.errors import AuthError
from infra.secrets import opaque_keys, tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from werkzeug.wrappers import Request

    from app.auth.serve.call import AuthCall, AuthRoute
    from app.auth.serve.project import AuthProject

ADMIN_ROLES = ("service_role", "supabase_admin")
TOKEN_BYTES_MAX = 16_384


def admit(route: AuthRoute, project: AuthProject, request: Request, *, gated: bool, now: float) -> Mapping[str, Any]:
    """Return the claims of the caller that a route lets in; {} where nobody is named.

    gated  whether an API key is asked for at this address, besides what the route asks for

    Raises AuthError.
    """
    key = request.headers.get("apikey") or request.args.get("apikey")
    if gated and route.access != "open":
        _check_key(project, key, now)
    # A JWT as key admits, and names nobody; an opaque one stands for its role, whatever opaque one is the Bearer token.
    token = _bearer(request.headers.get("Authorization"))
    if gated and key and opaque_keys.is_opaque(token or key):
        token = key
    if route.access in ("open", "key"):
        return {}
    if not token:
        raise AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token")
    claims = verified_claims(project, token, now)
    if route.access == "admin" and claims.get("role") not in ADMIN_ROLES:
        raise AuthError(403, "not_admin", "User not allowed")
    if route.access == "user" and not claims.get("sub"):
        raise AuthError(403, "bad_jwt", "invalid claim: missing sub claim")
    return claims


def caller_claims(call: AuthCall) -> dict[str, Any]:
    """Return the claims of the signed-in user who calls a route that does not ask for one. Raises AuthError."""
    token = _bearer(call.headers.get("Authorization"))
    if not token:
        raise AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token")
    claims = verified_claims(call.project, token, call.services.clock())
    if not claims.get("sub"):
        raise AuthError(403, "bad_jwt", "invalid claim: missing sub claim")
    return claims


def bears_service_role(call: AuthCall) -> bool:
    """Return whether the caller of a route that asks for nobody bears the service role all the same."""
    token = _bearer(call.headers.get("Authorization")) or call.headers.get("apikey")
    try:
        claims = verified_claims(call.project, token or "", call.services.clock())
    except AuthError:
        return False
    return claims.get("role") in ADMIN_ROLES


def verified_claims(project: AuthProject, token: str, now: float, *, is_key: bool = False) -> dict[str, Any]:
    """Return the claims of a token of the project's that is still good. Raises AuthError (403).

    is_key  it is an API key, which comes with every request: its signature is checked once, its time always
    """
    if len(token) > TOKEN_BYTES_MAX:
        raise _bad_token("token is too long")
    if opaque_keys.is_opaque(token):
        role = opaque_keys.role_of(token, project.spec.api_keys)
        if role is None:
            raise _bad_token("there is no such key")
        return {"role": role}
    try:
        signed, until = (_signed_key if is_key else _signed)(token, project.spec.jwt_secret)
        claims = json.loads(signed)
    except tokens.SignatureRefused as error:
        raise _bad_token(f"signature is invalid ({error.why})") from error
    except ValueError as error:
        raise _bad_token("claims are no JSON") from error
    if not isinstance(claims, dict):
        raise _bad_token("claims are no object")
    ends = claims.get("exp")
    if isinstance(ends, bool) or not isinstance(ends, int | float) or now >= min(ends, until):
        raise _bad_token("token is expired")
    return claims


def _signed(token: str, jwt_secret: str) -> tuple[bytes, float]:
    return tokens.signed_claims(token, tokens.verification_keys(jwt_secret))


# A few keys a project, and what refuses one is found out anew each time.
_signed_key = lru_cache(maxsize=256)(_signed)


def _check_key(project: AuthProject, key: str | None, now: float) -> None:
    if not key:
        raise AuthError(
            401, "no_api_key", "No API key found in request", extra={"hint": "Send the key as apikey header"}
        )
    try:
        verified_claims(project, key, now, is_key=True)
    except AuthError as error:
        raise AuthError(
            401, "invalid_api_key", "Invalid API key", extra={"hint": "Double check your API key."}
        ) from error


def _bearer(header: str | None) -> str | None:
    scheme, _, token = (header or "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _bad_token(why: str) -> AuthError:
    return AuthError(403, "bad_jwt", f"invalid JWT: unable to parse or verify signature, {why}")
