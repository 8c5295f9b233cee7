"""POST /admin/generate_link: the link and the code of a letter, for the project's own server to bring to somebody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.auth import audit, new_users, password_rules, redirects
from app.auth.addresses import valid_email
from app.auth.email_change import ensure_free, write_half
from app.auth.errors import AuthError, validation_error
from app.auth.flows.invite import invited
from app.auth.json_values import merged
from app.auth.mailing.writing import Way, write
from app.auth.serve.call import AuthAnswer, AuthCall, AuthRoute
from app.auth.store import users
from app.auth.times import moment_of
from app.auth.user_json import user_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.auth.letters import AuthLetter
    from infra.postgres.database import Transaction


@dataclass(frozen=True)
class _Asked:
    """What was asked for. encrypted: the hash of the password of a new user, if there is one."""

    email: str
    kind: str
    way: Way
    encrypted: str | None


def generate_link(call: AuthCall) -> AuthAnswer:
    """Answer the user with link, code and hash. Nothing is mailed."""
    email, kind = valid_email(call.text("email")), call.text("type")
    if kind not in _KINDS:
        raise validation_error(f"Invalid email action link type requested: {kind}")
    asked = _Asked(email, kind, Way(_redirect(call), durable=True), _encrypted(call, kind))
    try:
        with call.project.transaction() as tx:
            user = users.find_by_email(tx, email)
            if user is None and kind == "magiclink":
                kind = "signup"
            letter = _KINDS[kind](call, tx, user, asked)
            shown = user_json(tx, users.find_by_email(tx, email) or {})
    except users.Taken as error:
        raise new_users.taken_error(error) from error
    link = {
        "action_link": letter.url,
        "email_otp": letter.token,
        "hashed_token": letter.token_hash,
        "verification_type": kind,
        "redirect_to": asked.way.redirect_to,
    }
    return AuthAnswer({**shown, **link})


def _signup(call: AuthCall, tx: Transaction, user: dict[str, Any] | None, asked: _Asked) -> AuthLetter:
    data = call.members("data")
    if user is not None and user["email_confirmed_at"] is not None:
        raise AuthError(422, "email_exists", new_users.EMAIL_TAKEN)
    if user is None and asked.kind == "signup" and asked.encrypted is None:
        raise validation_error("Signup requires a valid password")
    if user is None:
        user = new_users.create_user(
            call, tx, email=asked.email, encrypted_password=asked.encrypted, raw_user_meta_data=data or {}
        )
    elif data:
        moment = moment_of(call.services.clock())
        metadata = merged(user["raw_user_meta_data"], data)
        user = users.update(tx, user["id"], raw_user_meta_data=metadata, updated_at=moment)
    audit.record(call, tx, "user_confirmation_requested", user, provider="email")
    return write(call, tx, "confirmation", user, asked.email, asked.way)


def _invite(call: AuthCall, tx: Transaction, _user: dict[str, Any] | None, asked: _Asked) -> AuthLetter:
    user = invited(call, tx, asked.email, call.members("data") or {})
    return write(call, tx, "invite", user, asked.email, asked.way)


def _sign_in(call: AuthCall, tx: Transaction, user: dict[str, Any] | None, asked: _Asked) -> AuthLetter:
    user = _known(user)
    audit.record(call, tx, "user_recovery_requested", user)
    return write(call, tx, "recovery" if asked.kind == "recovery" else "magic_link", user, asked.email, asked.way)


def _email_change(call: AuthCall, tx: Transaction, user: dict[str, Any] | None, asked: _Asked) -> AuthLetter:
    user, current = _known(user), asked.kind == "email_change_current"
    if current and not call.project.settings.secure_email_change:
        raise validation_error("Enable secure email change to generate link for current email")
    new_email = valid_email(call.text("new_email"))
    ensure_free(tx, new_email)
    return write_half(call, tx, user, new_email, asked.way, current=current)


def _known(user: dict[str, Any] | None) -> dict[str, Any]:
    if user is None:
        raise AuthError(404, "user_not_found", "User with this email not found")
    return user


def _encrypted(call: AuthCall, kind: str) -> str | None:
    password = call.text("password") if kind == "signup" else ""
    if not password:
        return None
    password_rules.ensure_strength(call, password)
    return call.services.passwords.hash(password)


def _redirect(call: AuthCall) -> str:
    asked = call.text("redirect_to")
    return asked if redirects.is_allowed(call.project.settings, asked) else redirects.redirect_of(call)


_KINDS: Mapping[str, Callable[[AuthCall, Transaction, dict[str, Any] | None, _Asked], AuthLetter]] = {
    "signup": _signup,
    "invite": _invite,
    "magiclink": _sign_in,
    "recovery": _sign_in,
    "email_change_current": _email_change,
    "email_change_new": _email_change,
}
ROUTES = (AuthRoute("POST", "/admin/generate_link", "admin", generate_link),)
