"""Ways in that no project has: each is refused by the word that clients know it by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.auth.errors import AuthError
from app.auth.serve.call import AuthAnswer, AuthRoute

if TYPE_CHECKING:
    from app.auth.serve.call import AuthCall


def sso(_call: AuthCall) -> AuthAnswer:
    """Refuse SAML."""
    raise AuthError(404, "saml_provider_disabled", "SAML 2.0 is disabled")


def web3(_call: AuthCall) -> AuthAnswer:
    """Refuse a wallet's signature."""
    raise AuthError(422, "web3_provider_disabled", "Web3 provider is disabled")


def oauth_server(_call: AuthCall) -> AuthAnswer:
    """Refuse to be a provider for others."""
    raise AuthError(404, "feature_disabled", "OAuth server is disabled")


ROUTES = (
    AuthRoute("POST", "/sso", "key", sso),
    AuthRoute("GET", "/admin/oauth/clients", "admin", oauth_server),
    AuthRoute("POST", "/admin/oauth/clients", "admin", oauth_server),
    AuthRoute("POST", "/oauth/clients/register", "key", oauth_server),
    AuthRoute("GET", "/oauth/userinfo", "user", oauth_server),
    AuthRoute("GET", "/user/oauth/grants", "user", oauth_server),
    AuthRoute("DELETE", "/user/oauth/grants", "user", oauth_server),
)
