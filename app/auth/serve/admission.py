"""Who gets through to a view: by API key, as a signed-in user, or with the service role."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.auth.errors import AuthError
from app.served.claims import TokenRefused, bearer_token, verified_claims
from infra.secrets import opaque_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from werkzeug.wrappers import Request

    from app.auth.serve.call import AuthCall, AuthRoute
    from app.auth.serve.project import AuthProject

ADMIN_ROLES = ("service_role", "supabase_admin")


def admit(route: AuthRoute, project: AuthProject, request: Request, *, gated: bool, now: float) -> Mapping[str, Any]:
    """Return the claims of the caller that a route lets in; {} where nobody is named.

    gated  whether an API key is asked for at this address, besides what the route asks for

    Raises AuthError.
    """
    key = request.headers.get("apikey") or request.args.get("apikey")
    if gated and route.access != "open":
        _check_key(project, key, now)
    # A JWT as key admits, and names nobody; an opaque one stands for its role, whatever opaque one is the Bearer token.
    token = bearer_token(request.headers.get("Authorization"))
    if gated and key and opaque_keys.is_opaque(token or key):
        token = key
    if route.access in ("open", "key"):
        return {}
    if not token:
        raise AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token")
    claims = proven_claims(project, token, now)
    if route.access == "admin" and claims.get("role") not in ADMIN_ROLES:
        raise AuthError(403, "not_admin", "User not allowed")
    if route.access == "user" and not claims.get("sub"):
        raise AuthError(403, "bad_jwt", "invalid claim: missing sub claim")
    return claims


def caller_claims(call: AuthCall) -> dict[str, Any]:
    """Return the claims of the signed-in user who calls a route that does not ask for one. Raises AuthError."""
    token = bearer_token(call.headers.get("Authorization"))
    if not token:
        raise AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token")
    claims = proven_claims(call.project, token, call.services.clock())
    if not claims.get("sub"):
        raise AuthError(403, "bad_jwt", "invalid claim: missing sub claim")
    return claims


def bears_service_role(call: AuthCall) -> bool:
    """Return whether the caller of a route that asks for nobody bears the service role all the same."""
    token = bearer_token(call.headers.get("Authorization")) or call.headers.get("apikey")
    try:
        claims = proven_claims(call.project, token or "", call.services.clock())
    except AuthError:
        return False
    return claims.get("role") in ADMIN_ROLES


def proven_claims(project: AuthProject, token: str, now: float) -> dict[str, Any]:
    """Return the claims of a token of the project's, or an API key, that is still good. Raises AuthError (403)."""
    try:
        return verified_claims(token, project.spec.jwt_secret, project.spec.api_keys, now)
    except TokenRefused as error:
        raise AuthError(403, "bad_jwt", f"invalid JWT: unable to parse or verify signature, {error}") from error


def _check_key(project: AuthProject, key: str | None, now: float) -> None:
    if not key:
        raise AuthError(
            401, "no_api_key", "No API key found in request", extra={"hint": "Send the key as apikey header"}
        )
    try:
        proven_claims(project, key, now)
    except AuthError as error:
        raise AuthError(
            401, "invalid_api_key", "Invalid API key", extra={"hint": "Double check your API key."}
        ) from error
