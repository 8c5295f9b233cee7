"""What this Auth does not do, and says so as where it is switched off: SAML, and being a provider for others."""

from __future__ import annotations

from app.auth.errors import AuthError
from app.auth.serve.call import AuthAnswer, AuthCall, AuthRoute


def refuse(_call: AuthCall) -> AuthAnswer:
    """Refuse. Raises AuthError."""
    raise AuthError(404, "saml_provider_disabled", "SAML 2.0 is disabled")


def refuse_server(_call: AuthCall) -> AuthAnswer:
    """Refuse to be an OAuth provider. Raises AuthError."""
    raise AuthError(404, "feature_disabled", "OAuth server is disabled")


_CLIENT = "/admin/oauth/clients/<client_id>"
_ASKED = "/oauth/authorizations/<authorization_id>"

ROUTES = (
    AuthRoute("POST", "/sso", "key", refuse),
    AuthRoute("GET", "/admin/oauth/clients", "admin", refuse_server),
    AuthRoute("POST", "/admin/oauth/clients", "admin", refuse_server),
    AuthRoute("GET", _CLIENT, "admin", refuse_server),
    AuthRoute("PUT", _CLIENT, "admin", refuse_server),
    AuthRoute("DELETE", _CLIENT, "admin", refuse_server),
    AuthRoute("POST", f"{_CLIENT}/regenerate_secret", "admin", refuse_server),
    AuthRoute("POST", "/oauth/clients/register", "key", refuse_server),
    AuthRoute("GET", _ASKED, "user", refuse_server),
    AuthRoute("POST", f"{_ASKED}/consent", "user", refuse_server),
    AuthRoute("GET", "/oauth/userinfo", "user", refuse_server),
    AuthRoute("GET", "/user/oauth/grants", "user", refuse_server),
    AuthRoute("DELETE", "/user/oauth/grants", "user", refuse_server),
)
