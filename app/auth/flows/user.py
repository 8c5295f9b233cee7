"""GET and PUT /user: what the signed-in user is, and what of it they change themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.auth import addresses, audit, email_change, new_users, password_rules, pkce, redirects
from app.auth.errors import AuthError, validation_error
from app.auth.flows.reauthenticate import ensure_reauthenticated
from app.auth.json_values import merged
from app.auth.letters import AuthLetter
from app.auth.mailing import posting
from app.auth.mailing.writing import Way
from app.auth.mfa import levels
from app.auth.serve.call import AuthAnswer, AuthCall, AuthRoute
from app.auth.sign_in import current_user, read_current_user
from app.auth.store import one_time_tokens, sessions, users
from app.auth.times import moment_of
from app.auth.user_json import user_json, whole_user

if TYPE_CHECKING:
    from infra.postgres.database import Transaction

# Who came by one of these may not know the password that they are about to replace.
_WITHOUT_PASSWORD = frozenset({"otp", "magiclink", "recovery"})


def show(call: AuthCall) -> AuthAnswer:
    """Answer the user of the token."""
    if call.claims.get("aud") not in (users.AUDIENCE, [users.AUDIENCE]):
        raise validation_error("Token audience doesn't match request audience")
    user, _ = read_current_user(call)
    return AuthAnswer(whole_user(user))


def change(call: AuthCall) -> AuthAnswer:
    """Change what the user asks for: address, password, data. All of it, or nothing."""
    call.ensure_types(texts=("password", "current_password", "nonce"), objects=("data", "app_metadata"))
    email, phone, data = addresses.email_of(call), addresses.phone_of(call), call.members("data")
    password = call.text("password") if call.body.get("password") is not None else None
    way = Way(redirects.redirect_of(call), pkce.challenge_of(call.body), durable=True)
    if call.members("app_metadata") is not None:
        raise AuthError(403, "not_admin", "Updating app_metadata requires admin privileges")
    user, session = read_current_user(call)
    if password is not None or (email and email != user["email"]) or (phone and phone != user["phone"]):
        message = "AAL2 session is required to update email or password when MFA is enabled."
        levels.ensure_second(user, session, status=401, message=message)
    if phone and phone != user["phone"]:
        raise addresses.phone_sign_in_disabled(400, "Phone signups are disabled")
    encrypted, letters = None, list[AuthLetter]()
    if password is not None:
        encrypted = _new_password(call, user, session, password, email)
    with call.project.transaction() as tx:
        user, session = current_user(call, tx)
        row = users.lock(tx, user["id"]) or user
        if encrypted is not None:
            _set_password(call, tx, row, session)
        row = users.update(tx, row["id"], **_changes(call, row, encrypted, data))
        if email and email != row["email"]:
            row, letters = _change_email(call, tx, row, email, way)
        audit.record(call, tx, "user_modified", row)
        answer = AuthAnswer(user_json(tx, row))
    posting.post(call, letters)
    return answer


def _changes(call: AuthCall, row: dict[str, Any], encrypted: str | None, data: dict[str, Any] | None) -> dict[str, Any]:
    changes: dict[str, Any] = {"updated_at": moment_of(call.services.clock())}
    if encrypted is not None:
        changes["encrypted_password"] = encrypted
    if data is not None:
        changes["raw_user_meta_data"] = merged(row["raw_user_meta_data"], data)
    return changes


def _new_password(
    call: AuthCall, user: dict[str, Any], session: dict[str, Any] | None, password: str, email: str
) -> str:
    """Return the hash of a new password that the user may set. Raises AuthError."""
    if user["is_anonymous"] and not email and not user["email"] and not user["phone"]:
        raise AuthError(
            422,
            "validation_failed",
            "Updating password of an anonymous user without an email or phone is not allowed",
        )
    if user["is_sso_user"]:
        raise AuthError(422, "user_sso_managed", "Updates on password disabled for SSO accounts")
    _check_current(call, user, session)
    password_rules.ensure_strength(call, password)
    stored = user["encrypted_password"] or None
    if stored is not None and call.services.passwords.matches(password, stored):
        raise AuthError(422, "same_password", "New password should be different from the old password.")
    return call.services.passwords.hash(password)


def _check_current(call: AuthCall, user: dict[str, Any], session: dict[str, Any] | None) -> None:
    """Raise AuthError unless the old password was given, where it has to be, and is right, where it was given."""
    stored, current = user["encrypted_password"] or None, call.text("current_password")
    if stored is None:
        return
    if current:
        if not call.services.passwords.matches(current, stored):
            raise AuthError(400, "current_password_invalid", "Current password required when setting new password.")
        return
    came_without = session is not None and any(means["method"] in _WITHOUT_PASSWORD for means in session["amr"])
    if call.project.settings.password_current_required and not came_without:
        raise AuthError(400, "current_password_required", "Current password required when setting new password.")


def _set_password(call: AuthCall, tx: Transaction, row: dict[str, Any], session: dict[str, Any] | None) -> None:
    """End what was begun with the old password: other sessions, and links and codes that are on their way."""
    ensure_reauthenticated(call, tx, row, session)
    one_time_tokens.drop_all(tx, str(row["id"]))
    if session is None:
        sessions.end_all(tx, row["id"])
    else:
        sessions.end_others(tx, row["id"], session["id"])
    audit.record(call, tx, "user_updated_password", row)


def _change_email(
    call: AuthCall, tx: Transaction, row: dict[str, Any], email: str, way: Way
) -> tuple[dict[str, Any], list[AuthLetter]]:
    """Give an anonymous user an address at once where addresses count as confirmed; others have to confirm it."""
    if row["is_sso_user"]:
        raise AuthError(422, "user_sso_managed", "Updates on email disabled for SSO accounts")
    email_change.ensure_free(tx, email)
    if not (row["is_anonymous"] and call.project.autoconfirm):
        posting.ensure_not_too_soon(call, "email_change", row["email"] or str(row["id"]))
        return email_change.begin(call, tx, row, email, way)
    try:
        return email_change.take_address(call, tx, row, email), []
    except users.Taken as error:
        raise new_users.taken_error(error) from error


ROUTES = (AuthRoute("GET", "/user", "user", show), AuthRoute("PUT", "/user", "user", change))
