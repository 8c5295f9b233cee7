"""Sign-in by an ID token that an app got from a provider by itself."""

from __future__ import annotations

import hmac
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from app.auth import limits
from app.auth.errors import AuthError, validation_error
from app.auth.flows.identities import ensure_linking_allowed
from app.auth.oauth import accounts, id_tokens
from app.auth.oauth.admitting import admit
from app.auth.oauth.kinds import KINDS, provider_of
from app.auth.serve import admission
from app.auth.serve.call import AuthAnswer
from app.auth.sign_in import begin_session, current_user
from infra.errors import Refused, Unavailable

if TYPE_CHECKING:
    from app.auth.oauth.kinds import ProjectProvider
    from app.auth.serve.call import AuthCall
    from infra.postgres.database import Transaction


def sign_in_by_id_token(call: AuthCall) -> AuthAnswer:
    """Begin a session of whom a provider's ID token names; with `link_identity`, add the account to the caller's."""
    limits.count_request(call, "sign_in")
    token, access_token = call.text("id_token"), call.text("access_token")
    if not token:
        raise validation_error("id_token required")
    provider = _provider(call)
    link_to = _caller(call) if call.flag("link_identity") else None
    claims = _claims(call, provider, token, access_token)
    _check_nonce(provider, claims, call.text("nonce"))
    account = accounts.account_of_claims(provider, claims)

    def then(tx: Transaction, user: dict[str, Any]) -> dict[str, Any]:
        return begin_session(call, tx, user, "oauth", provider=provider.name)

    email_optional = provider.settings.email_optional
    return AuthAnswer(admit(call, account, then, link_to=link_to, email_optional=email_optional))


def _provider(call: AuthCall) -> ProjectProvider:
    """Return the provider that the body names, or the one whose issuer it does."""
    name, issuer = call.text("provider"), call.text("issuer").rstrip("/")
    if not name and issuer:
        known = [each for each in call.project.settings.oauth_providers if KINDS[each].endpoints is None]
        name = next((each for each in known if provider_of(call.project, each).issuer == issuer), "")
    if not name:
        raise validation_error("provider or client_id and issuer required")
    provider = provider_of(call.project, name)
    if provider.kind.endpoints is not None:
        raise validation_error(f"Provider {name} makes out no ID tokens")
    return provider


def _claims(call: AuthCall, provider: ProjectProvider, token: str, access_token: str) -> dict[str, Any]:
    expected = id_tokens.Expected(provider.audiences, access_token=access_token)
    try:
        return id_tokens.verified(call.services.oauth, provider, token, expected, call.services.clock())
    except id_tokens.IdTokenRefused as error:
        raise _refused(str(error)) from error
    except Refused as error:
        raise AuthError(500, "unexpected_failure", f"The provider is of no use: {error}") from error
    except Unavailable as error:
        raise AuthError(503, "request_timeout", "The provider could not be asked; try again") from error


def _check_nonce(provider: ProjectProvider, claims: dict[str, Any], nonce: str) -> None:
    """Raise AuthError unless the token was made for the nonce that the app has, whose hash it holds."""
    if provider.settings.skip_nonce_check:
        return
    held = claims.get("nonce") or ""
    if bool(nonce) != bool(held):
        raise _refused("Passed nonce and nonce in id_token should either both exist or not.")
    if nonce and not hmac.compare_digest(sha256(nonce.encode()).hexdigest().encode(), str(held).encode()):
        raise _refused("Nonces mismatch")


def _caller(call: AuthCall) -> object:
    """Return the id of the user whose token the request bears. Raises AuthError."""
    ensure_linking_allowed(call)
    claims = admission.caller_claims(call)
    with call.project.autocommit() as tx:
        user, _ = current_user(replace(call, claims=claims), tx)
    return user["id"]


def _refused(message: str) -> AuthError:
    said = {"error": "invalid request", "error_description": message}
    return AuthError(400, "validation_failed", message, extra=said)
