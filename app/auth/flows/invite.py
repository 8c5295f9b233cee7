"""POST /invite: the project's own server invites somebody by mail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.auth import audit, new_users, redirects
from app.auth.addresses import valid_email
from app.auth.errors import AuthError
from app.auth.mailing import posting
from app.auth.mailing.writing import Way, write
from app.auth.serve.call import AuthAnswer, AuthCall, AuthRoute
from app.auth.store import users
from app.auth.user_json import user_json

if TYPE_CHECKING:
    from infra.postgres.database import Transaction


def invite(call: AuthCall) -> AuthAnswer:
    """Create a user, unless they wait for an earlier invitation, and send them a link."""
    email, data = valid_email(call.text("email")), call.members("data") or {}
    way = Way(redirects.redirect_of(call), durable=True)
    try:
        with call.project.transaction() as tx:
            user = invited(call, tx, email, data)
            letter = write(call, tx, "invite", user, email, way)
            shown = user_json(tx, users.find(tx, user["id"]) or user)
    except users.Taken as error:
        raise new_users.taken_error(error) from error
    posting.post(call, [letter])
    return AuthAnswer(shown)


def invited(call: AuthCall, tx: Transaction, email: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return the user who is invited, made if need be. Raises AuthError (422) for one who has confirmed, Taken."""
    user = users.find_by_email(tx, email)
    if user is not None and user["email_confirmed_at"] is not None:
        raise AuthError(422, "email_exists", new_users.EMAIL_TAKEN)
    user = user or new_users.create_user(call, tx, email=email, raw_user_meta_data=data)
    audit.record(call, tx, "user_invited", user)
    return user


ROUTES = (AuthRoute("POST", "/invite", "admin", invite),)
