"""POST /resend: a letter that has not come is written once more. Whoever asks learns nothing of who is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.auth import addresses, audit, limits, pkce, redirects
from app.auth.email_change import write_again
from app.auth.errors import validation_error
from app.auth.mailing import posting
from app.auth.mailing.writing import Way, idle, write
from app.auth.serve.call import AuthAnswer, AuthCall, AuthRoute
from app.auth.store import users

if TYPE_CHECKING:
    from app.auth.letters import AuthLetter
    from infra.postgres.database import Transaction

# What waits for a letter, and the interval that it shares with the first one.
_SLOTS = {"signup": "confirmation", "email_change": "email_change"}
_TYPES = ("signup", "email_change", "sms", "phone_change")


def resend(call: AuthCall) -> AuthAnswer:
    """Send the letter of a sign-up or of a change of address again, with another link and code."""
    kind = call.text("type")
    challenge = pkce.challenge_of(call.body) if kind in _SLOTS else None
    email = _address(call, kind)
    limits.count(call, "otp", call.project.settings.otp_rate_per_minute)
    posting.ensure_not_too_soon(call, _SLOTS[kind], email)
    way = Way(redirects.redirect_of(call), challenge)
    with call.project.transaction() as tx:
        user = users.find_by_email(tx, email)
        letters = (
            _confirmation(call, tx, user, email, way) if kind == "signup" else write_again(call, tx, user, email, way)
        )
    posting.post(call, letters)
    return AuthAnswer({})


def _confirmation(
    call: AuthCall, tx: Transaction, user: dict[str, Any] | None, email: str, way: Way
) -> list[AuthLetter]:
    waiting = user if user is not None and user["email_confirmed_at"] is None else None
    if waiting is None:
        idle(tx)
    else:
        audit.record(call, tx, "user_confirmation_requested", waiting)
    return [write(call, tx, "confirmation", waiting, email, way)]


def _address(call: AuthCall, kind: str) -> str:
    email, phone = call.text("email"), call.text("phone")
    if kind not in _TYPES:
        raise validation_error(f"Missing one of these types: {', '.join(_TYPES)}")
    if kind == "signup" and not email:
        raise validation_error("Type provided requires an email address")
    if kind == "sms" and not phone:
        raise validation_error("Type provided requires a phone number")
    if email and phone:
        raise validation_error("Only an email address or phone number should be provided.")
    if phone or kind not in _SLOTS:
        raise addresses.phone_sign_in_disabled(400)
    if not email:
        raise validation_error("Missing email address or phone number")
    addresses.ensure_email_sign_in(call, status=400)
    return addresses.email_of(call)


ROUTES = (AuthRoute("POST", "/resend", "key", resend, captcha=True),)
