"""GET /settings: what of a project's Auth a client may know before anybody signs in."""

from __future__ import annotations

from app.auth.serve.call import AuthAnswer, AuthCall, AuthRoute
from catalog.settings_auth import EXTERNAL_PROVIDERS


def settings(call: AuthCall) -> AuthAnswer:
    """Answer which ways in there are."""
    chosen = call.project.settings
    external = {
        "anonymous_users": chosen.anonymous_sign_in,
        **{
            name: name in chosen.oauth_providers and chosen.oauth_providers[name].enabled for name in EXTERNAL_PROVIDERS
        },
        "email": chosen.email_sign_in,
        "phone": False,
    }
    return AuthAnswer(
        {
            "external": external,
            "disable_signup": not chosen.sign_up,
            "mailer_autoconfirm": call.project.autoconfirm,
            "phone_autoconfirm": False,
            "sms_provider": "",
            "saml_enabled": False,
            "saml_private_key_next_configured": False,
            "passkeys_enabled": chosen.passkeys,
        }
    )


ROUTES = (AuthRoute("GET", "/settings", "key", settings),)
