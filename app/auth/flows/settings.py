"""GET /settings: what of a project's Auth a client may know before anybody signs in."""

from __future__ import annotations

from app.auth.serve.call import AuthAnswer, AuthCall, AuthRoute

# As clients know them, whether or not the project lets people in by them.
PROVIDERS = (
    "apple", "azure", "bitbucket", "discord", "facebook", "figma", "fly", "github", "gitlab", "google", "kakao",
    "keycloak", "linkedin", "linkedin_oidc", "notion", "slack", "slack_oidc", "snapchat", "spotify", "twitch",
    "twitter", "x", "workos", "zoom",
)  # fmt: skip


def settings(call: AuthCall) -> AuthAnswer:
    """Answer which ways in there are."""
    chosen = call.project.settings
    external = {
        "anonymous_users": chosen.anonymous_sign_in,
        **dict.fromkeys(PROVIDERS, False),
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
