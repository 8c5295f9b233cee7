"""POST /token: what somebody shows for a session, by grant type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.auth.errors import AuthError
from app.auth.flows import id_token_grant, password_grant, pkce_grant, refresh_grant
from app.auth.serve.call import AuthAnswer, AuthCall, AuthRoute

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _refuse_web3(_call: AuthCall) -> AuthAnswer:
    """Refuse, as where it is switched off: nobody signs in by a wallet here. Raises AuthError."""
    raise AuthError(422, "web3_provider_disabled", "Web3 provider is disabled")


GRANTS: Mapping[str, Callable[[AuthCall], AuthAnswer]] = {
    "password": password_grant.sign_in_by_password,
    "refresh_token": refresh_grant.refresh,
    "id_token": id_token_grant.sign_in_by_id_token,
    "pkce": pkce_grant.exchange,
    "web3": _refuse_web3,
}


def token(call: AuthCall) -> AuthAnswer:
    """Answer a Session by the grant type of the query."""
    grant = GRANTS.get(call.query.get("grant_type", ""))
    if grant is None:
        raise AuthError(400, "invalid_credentials", "unsupported_grant_type")
    return grant(call)


ROUTES = (AuthRoute("POST", "/token", "key", token, captcha=True),)
