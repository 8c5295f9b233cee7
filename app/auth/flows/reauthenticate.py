"""GET /reauthenticate: a code to the address of who is signed in, with which they may change their password."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.auth import audit
from app.auth.errors import AuthError, validation_error
from app.auth.mailing import posting
from app.auth.mailing.codes import hash_of
from app.auth.mailing.writing import Way, write
from app.auth.serve.call import AuthAnswer, AuthCall, AuthRoute
from app.auth.sign_in import current_user
from app.auth.store import one_time_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.postgres.database import Transaction

DAY = 86_400


def reauthenticate(call: AuthCall) -> AuthAnswer:
    """Send a code to the user's address."""
    with call.project.autocommit() as tx:
        user, _ = current_user(call, tx)
    if not user["email"]:
        raise validation_error("Reauthentication requires the user to have an email or a phone number")
    if user["email_confirmed_at"] is None:
        raise AuthError(422, "email_not_confirmed", "Please verify your email first.")
    posting.ensure_not_too_soon(call, "reauthentication", str(user["id"]))
    with call.project.transaction() as tx:
        audit.record(call, tx, "user_reauthenticate_requested", user)
        letter = write(call, tx, "reauthentication", user, user["email"], Way(""))
    posting.post(call, [letter])
    return AuthAnswer({})


def ensure_reauthenticated(
    call: AuthCall, tx: Transaction, user: Mapping[str, Any], session: Mapping[str, Any] | None
) -> None:
    """Use the code of who changes their password, where the project asks for it and they have not just signed in.

    Raises AuthError: 400 without a code, 422 for a wrong or old one.
    """
    now = call.services.clock()
    fresh = session is not None and now - session["created_at"].timestamp() <= DAY
    if fresh or not call.project.settings.password_reauthentication:
        return
    nonce = call.text("nonce")
    if not nonce:
        raise AuthError(400, "reauthentication_needed", "Password update requires reauthentication")
    hashes = [hash_of(user["email"] or "", nonce)]
    since = now - call.project.settings.one_time_seconds
    used = one_time_tokens.use(tx, hashes, ["reauthentication_token"], since=since, relates_to=user["email"])
    if used is None or used.user_id != user["id"]:
        raise AuthError(422, "reauthentication_not_valid", "Nonce has expired or is invalid")


ROUTES = (AuthRoute("GET", "/reauthenticate", "user", reauthenticate),)
