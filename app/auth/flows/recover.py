"""POST /recover: a forgotten password. Whoever asks learns nothing of who is known."""

from __future__ import annotations

from app.auth import addresses, audit, limits, pkce, redirects
from app.auth.errors import validation_error
from app.auth.mailing import posting
from app.auth.mailing.writing import Way, idle, write
from app.auth.serve.call import AuthAnswer, AuthCall, AuthRoute
from app.auth.store import users


def recover(call: AuthCall) -> AuthAnswer:
    """Send a link and a code with which somebody is signed in, to choose another password."""
    if not call.text("email"):
        raise validation_error("Password recovery requires an email")
    addresses.ensure_email_sign_in(call, status=400)
    email, challenge = addresses.email_of(call), pkce.challenge_of(call.body)
    limits.count(call, "otp", call.project.settings.otp_rate_per_minute)
    posting.ensure_not_too_soon(call, "recovery", email)
    with call.project.transaction() as tx:
        user = users.find_by_email(tx, email)
        if user is None:
            idle(tx)
        else:
            audit.record(call, tx, "user_recovery_requested", user)
        letter = write(call, tx, "recovery", user, email, Way(redirects.redirect_of(call), challenge))
    posting.post(call, [letter])
    return AuthAnswer({})


ROUTES = (AuthRoute("POST", "/recover", "key", recover, captcha=True),)
