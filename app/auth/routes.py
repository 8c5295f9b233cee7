"""Every route of a project's Auth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.auth.flows import (
    admin_factors,
    admin_users,
    factors,
    generate_link,
    health,
    identities,
    invite,
    logout,
    oauth,
    otp,
    passkeys,
    reauthenticate,
    recover,
    resend,
    settings,
    signup,
    sso,
    token,
    user,
    verify,
    well_known,
)

if TYPE_CHECKING:
    from app.auth.serve.call import AuthRoute

ROUTES: tuple[AuthRoute, ...] = (
    *health.ROUTES,
    *settings.ROUTES,
    *signup.ROUTES,
    *sso.ROUTES,
    *token.ROUTES,
    *logout.ROUTES,
    *user.ROUTES,
    *admin_users.ROUTES,
    *factors.ROUTES,
    *passkeys.ROUTES,
    *admin_factors.ROUTES,
    *well_known.ROUTES,
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
