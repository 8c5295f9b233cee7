"""Every route of a project's Auth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.auth.flows import (
    admin_users,
    generate_link,
    health,
    identities,
    invite,
    logout,
    oauth,
    otp,
    reauthenticate,
    recover,
    resend,
    settings,
    signup,
    token,
    user,
    verify,
)

if TYPE_CHECKING:
    from app.auth.serve.call import AuthRoute

ROUTES: tuple[AuthRoute, ...] = (
    *health.ROUTES,
    *settings.ROUTES,
    *signup.ROUTES,
    *token.ROUTES,
    *logout.ROUTES,
    *user.ROUTES,
    *admin_users.ROUTES,
    *oauth.ROUTES,
    *identities.ROUTES,
    *verify.ROUTES,
    *otp.ROUTES,
    *recover.ROUTES,
    *resend.ROUTES,
    *reauthenticate.ROUTES,
    *invite.ROUTES,
    *generate_link.ROUTES,
)
