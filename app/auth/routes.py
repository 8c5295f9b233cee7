"""Every route of a project's Auth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.auth.flows import health, identities, oauth

if TYPE_CHECKING:
    from app.auth.serve.call import AuthRoute

ROUTES: tuple[AuthRoute, ...] = (*health.ROUTES, *oauth.ROUTES, *identities.ROUTES)
