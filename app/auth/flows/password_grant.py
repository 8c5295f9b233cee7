"""Sign-in by address and password."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.auth import addresses, audit, limits, password_rules
from app.auth.errors import AuthError, validation_error
from app.auth.hooks import hooks
from app.auth.serve.call import AuthAnswer, AuthCall
from app.auth.sign_in import begin_session, ensure_not_banned
from app.auth.store import users

if TYPE_CHECKING:
    from collections.abc import Mapping


def sign_in_by_password(call: AuthCall) -> AuthAnswer:
    """Begin a session of who knows the password. Nobody learns whether an address is known."""
    limits.count_request(call, "sign_in")
    email, phone, password = call.text("email"), call.text("phone"), call.text("password")
    if email and phone:
        raise validation_error("Only an email address or phone number should be provided on login.")
    if phone:
        raise addresses.phone_sign_in_disabled(422)
    if not email:
        raise validation_error("missing email or phone")
    if not password:
        raise validation_error("missing password")
    addresses.ensure_email_sign_in(call, status=422)
    password_rules.ensure_length(password)
    with call.project.autocommit() as tx:
        row = users.find_by_email(tx, email)
    row = _proved(call, row, password)
    fresh = call.services.passwords.hash(password) if _is_foreign(call, row) else None
    with call.project.transaction() as tx:
        if fresh is not None:
            users.replace_password(tx, row["id"], row["encrypted_password"], fresh)
        session = begin_session(call, tx, row, method="password")
        audit.record(call, tx, "login", row, provider="email")
    weakness = password_rules.weakness_of(call, password)
    return AuthAnswer(session if weakness is None else {**session, "weak_password": weakness})


def _proved(call: AuthCall, row: dict[str, Any] | None, password: str) -> dict[str, Any]:
    """Return the row of who has this password and may sign in. Raises AuthError, after the same time for everybody."""
    stored = None if row is None else row["encrypted_password"] or None
    matches = call.services.passwords.matches(password, stored)
    if stored is not None and row is not None:
        hooks.password_verification(call, row["id"], valid=matches)
    if row is None or not matches:
        raise AuthError(400, "invalid_credentials", "Invalid login credentials")
    ensure_not_banned(call, row, status=400)
    if row["email_confirmed_at"] is None:
        raise AuthError(400, "email_not_confirmed", "Email not confirmed")
    return row


def _is_foreign(call: AuthCall, row: Mapping[str, Any]) -> bool:
    return call.services.passwords.needs_rehash(row["encrypted_password"])
