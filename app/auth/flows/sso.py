"""POST /sso: signing in by SAML, which this Auth does not do, and says so as where it is switched off."""

from __future__ import annotations

from app.auth.errors import AuthError
from app.auth.serve.call import AuthAnswer, AuthCall, AuthRoute


def refuse(_call: AuthCall) -> AuthAnswer:
    """Refuse. Raises AuthError."""
    raise AuthError(404, "saml_provider_disabled", "SAML 2.0 is disabled")


ROUTES = (AuthRoute("POST", "/sso", "key", refuse),)
