"""Accounts of a user who is signed in: adding a further one, and taking one away."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from app.auth import audit, pkce
from app.auth.errors import AuthError, validation_error
from app.auth.flows import oauth
from app.auth.oauth import linking
from app.auth.serve.call import AuthAnswer, AuthRoute
from app.auth.sign_in import current_user
from app.auth.store import identities, users

if TYPE_CHECKING:
    from app.auth.serve.call import AuthCall


def authorize(call: AuthCall) -> AuthAnswer:
    """Send a user who is signed in to a provider, to add an account there to theirs."""
    ensure_linking_allowed(call)
    with call.project.transaction() as tx:
        user, _ = current_user(call, tx)
    url = oauth.begin(call, pkce.challenge_of(call.query), link_to=str(user["id"]))
    if call.query.get("skip_http_redirect") == "true":
        return AuthAnswer({"url": url})
    return AuthAnswer(None, 302, (("Location", url),))


def unlink(call: AuthCall) -> AuthAnswer:
    """Take away one of a user's accounts, but for the last."""
    ensure_linking_allowed(call)
    wanted = _identity_id(call)
    with call.project.transaction() as tx:
        user, _ = current_user(call, tx)
        user = users.lock(tx, user["id"]) or user
        known = identities.of_user(tx, user["id"])
        if len(known) <= 1:
            raise AuthError(422, "single_identity_not_deletable", "User must have at least 1 identity after unlinking")
        gone = next((row for row in known if row["id"] == wanted), None)
        if gone is None:
            raise AuthError(422, "identity_not_found", "Identity doesn't exist")
        identities.delete(tx, user["id"], wanted)
        if gone["provider"] == "phone":
            user = users.update(tx, user["id"], phone=None, phone_confirmed_at=None)
        elif gone["email"] and gone["email"] == user["email"]:
            user = linking.take_address(call, tx, user)
        app = linking.providers_of(identities.of_user(tx, user["id"]), user["raw_app_meta_data"])
        users.update(tx, user["id"], raw_app_meta_data=app)
        traits = {"provider": gone["provider"], "provider_id": gone["provider_id"], "identity_id": str(wanted)}
        audit.record(call, tx, "identity_unlinked", user, **traits)
    return AuthAnswer({})


def ensure_linking_allowed(call: AuthCall) -> None:
    """Raise AuthError (404) unless the project lets users add accounts to theirs."""
    if not call.project.settings.manual_linking:
        raise AuthError(404, "manual_linking_disabled", "Manual linking is disabled")


def _identity_id(call: AuthCall) -> UUID:
    try:
        return UUID(call.path["identity_id"])
    except ValueError as error:
        raise validation_error("identity_id must be an UUID") from error


ROUTES = (
    AuthRoute("GET", "/user/identities/authorize", "user", authorize),
    AuthRoute("DELETE", "/user/identities/<identity_id>", "user", unlink),
)
