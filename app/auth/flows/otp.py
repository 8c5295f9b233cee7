"""POST /otp and /magiclink: a letter signs somebody in, with a link and a code; who is new is signed up by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.auth import addresses, audit, limits, new_users, pkce, redirects
from app.auth.errors import AuthError, validation_error
from app.auth.mailing import posting
from app.auth.mailing.writing import Way, idle, write
from app.auth.serve.call import AuthAnswer, AuthCall, AuthRoute
from app.auth.store import users
from app.auth.times import moment_of

if TYPE_CHECKING:
    from app.auth.letters import AuthLetter
    from infra.postgres.database import Transaction


def ask(call: AuthCall) -> AuthAnswer:
    """Send a link and a code to an address, known or not."""
    email, phone = call.text("email"), call.text("phone")
    if email and phone:
        raise validation_error("Only an email address or phone number should be provided")
    if email and call.text("channel"):
        raise validation_error("Channel should only be specified with Phone OTP")
    if phone:
        raise addresses.phone_sign_in_disabled(400, "Unsupported phone provider")
    if not email:
        raise validation_error("One of email or phone must be set")
    return _sent(call, may_create=call.flag("create_user", default=True))


def ask_magic_link(call: AuthCall) -> AuthAnswer:
    """Send a link and a code to an address, as clients of before ask for it."""
    if not call.text("email"):
        raise AuthError(422, "validation_failed", "Password recovery requires an email")
    return _sent(call, may_create=True)


def _sent(call: AuthCall, *, may_create: bool) -> AuthAnswer:
    addresses.ensure_email_sign_in(call, status=422)
    challenge = pkce.challenge_of(call.body)
    email, data = addresses.email_of(call), call.members("data") or {}
    limits.count(call, "otp", call.project.settings.otp_rate_per_minute)
    with call.project.autocommit() as tx:
        found = users.find_by_email(tx, email)
    if found is None and not may_create:
        raise AuthError(422, "otp_disabled", "Signups not allowed for otp")
    if found is None and not call.project.settings.sign_up:
        raise AuthError(422, "signup_disabled", "Signups not allowed for this instance")
    posting.ensure_not_too_soon(call, "sign_in", email)
    way = Way(redirects.redirect_of(call), challenge)
    try:
        with call.project.transaction() as tx:
            user = _new_user(call, tx, email, data) if found is None else _known_user(call, tx, found)
            letter = _written(call, tx, user, way)
    except users.Taken:  # somebody else was faster
        with call.project.transaction() as tx:
            letter = _written(call, tx, users.find_by_email(tx, email), way)
    posting.post(call, [letter])
    return AuthAnswer({})


def _new_user(call: AuthCall, tx: Transaction, email: str, data: dict[str, Any]) -> dict[str, Any]:
    return new_users.create_user(call, tx, email=email, raw_user_meta_data=data)


def _known_user(call: AuthCall, tx: Transaction, found: dict[str, Any]) -> dict[str, Any]:
    """Return the user, after as many round trips as a new one would cost."""
    new_users.has_room(call, tx)
    idle(tx)
    idle(tx)
    return found


def _written(call: AuthCall, tx: Transaction, user: dict[str, Any] | None, way: Way) -> AuthLetter:
    if user is None:  # gone in the meantime
        return write(call, tx, "magic_link", None, "nobody@invalid", way)
    if user["email_confirmed_at"] is None and not call.project.autoconfirm:
        audit.record(call, tx, "user_confirmation_requested", user, provider="email")
        return write(call, tx, "confirmation", user, user["email"], way)
    if user["email_confirmed_at"] is None:
        moment = moment_of(call.services.clock())
        user = users.update(tx, user["id"], email_confirmed_at=moment, updated_at=moment)
    audit.record(call, tx, "user_recovery_requested", user)
    return write(call, tx, "magic_link", user, user["email"], way)


ROUTES = (
    AuthRoute("POST", "/otp", "key", ask, captcha=True),
    AuthRoute("POST", "/magiclink", "key", ask_magic_link, captcha=True),
)
