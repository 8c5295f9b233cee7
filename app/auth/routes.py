"""Every route of a project's Auth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.auth.flows import (
    admin_factors,
    admin_users,
    factors,
    health,
    logout,
    passkeys,
    settings,
    signup,
    token,
    user,
    well_known,
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
    *factors.ROUTES,
    *passkeys.ROUTES,
    *admin_factors.ROUTES,
    *well_known.ROUTES,
)
