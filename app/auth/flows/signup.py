"""POST /signup: somebody comes with an address and a password, or as nobody in particular."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from app.auth import addresses, audit, limits, new_users, password_rules, pkce, redirects
from app.auth.errors import AuthError, validation_error
from app.auth.mailing import posting
from app.auth.mailing.writing import Way, idle, write
from app.auth.serve.call import AuthAnswer, AuthCall, AuthRoute
from app.auth.sign_in import begin_session
from app.auth.store import users
from app.auth.times import moment_of
from app.auth.user_json import public_user, user_json

if TYPE_CHECKING:
    from app.auth.letters import AuthLetter
    from infra.postgres.database import Transaction

# What a row and an identity cost, which somebody known has already.
_TRIPS_OF_A_NEW_ONE = 2
# What identities and factors cost, which nobody has.
_TRIPS_OF_A_SHOWN_ONE = 2


def sign_up(call: AuthCall) -> AuthAnswer:
    """Create a user: a Session where addresses count as confirmed at once, otherwise the bare User."""
    if not call.project.settings.sign_up:
        raise AuthError(422, "signup_disabled", "Signups not allowed for this instance")
    call.ensure_types(texts=("email", "phone", "password"), objects=("data",))
    given = call.text("email"), call.text("phone")
    if not any(given):
        return _sign_up_anonymously(call)
    limits.count_request(call, "sign_up")
    if all(given):
        raise validation_error("Only an email address or phone number should be provided on signup.")
    password = call.text("password")
    if not password:
        raise validation_error("Signup requires a valid password")
    password_rules.ensure_strength(call, password)
    if given[1]:
        raise addresses.phone_sign_in_disabled(400, "Phone signups are disabled")
    addresses.ensure_email_sign_in(call, status=400, message="Email signups are disabled")
    email, data = addresses.email_of(call), call.members("data") or {}
    way = Way(redirects.redirect_of(call), pkce.challenge_of(call.body), durable=True)
    with call.project.autocommit() as tx:
        found = users.find_by_email(tx, email)
    if not call.project.autoconfirm:
        posting.ensure_not_too_soon(call, "confirmation", email)
    # Whoever is known already costs the same time as a new one.
    encrypted = call.services.passwords.hash(password)
    if found is not None and call.project.autoconfirm:
        return _sign_up_again(call, found, password)
    columns = {"email": email, "encrypted_password": encrypted, "raw_user_meta_data": data}
    return _created(call, found, columns, way)


def _created(call: AuthCall, found: dict[str, Any] | None, columns: dict[str, Any], way: Way) -> AuthAnswer:
    """Answer for a new address; for a known one without a word that gives it away."""
    if call.project.autoconfirm:
        return _signed_up(call, columns)
    email, data = columns["email"], columns["raw_user_meta_data"]
    try:
        with call.project.transaction() as tx:
            row = found or new_users.create_user(call, tx, **columns)
            shown, letter = _waiting(call, tx, row, data, way, again=found is not None)
    except users.Taken:  # somebody else was faster
        with call.project.transaction() as tx:
            row = users.find_by_email(tx, email) or {"email": email, "email_confirmed_at": ""}
            shown, letter = _waiting(call, tx, row, data, way, again=True)
    posting.post(call, [letter])
    return AuthAnswer(shown)


def _signed_up(call: AuthCall, columns: dict[str, Any]) -> AuthAnswer:
    """Sign in somebody new, whose address counts as confirmed."""
    try:
        with call.project.transaction() as tx:
            confirmed = moment_of(call.services.clock())
            row = new_users.create_user(call, tx, **columns, email_confirmed_at=confirmed)
            audit.record(call, tx, "user_signedup", row, provider="email")
            return AuthAnswer(begin_session(call, tx, row, method="password"))
    except users.Taken as error:
        raise _registered() from error


def _waiting(
    call: AuthCall, tx: Transaction, row: dict[str, Any], data: dict[str, Any], way: Way, *, again: bool
) -> tuple[dict[str, Any], AuthLetter]:
    """Return what is said to somebody who has to confirm their address, and the letter.

    Of an address that was confirmed long ago the same is said, of nobody, and the letter goes nowhere.
    """
    if again:
        new_users.ensure_room(call, tx)
        for _ in range(_TRIPS_OF_A_NEW_ONE):
            idle(tx)
    action = "user_repeated_signup" if again else "user_confirmation_requested"
    audit.record(call, tx, action, row if "id" in row else None, provider="email")
    if row["email_confirmed_at"] is not None:
        for _ in range(_TRIPS_OF_A_SHOWN_ONE):
            idle(tx)
        return made_up_user(call, row["email"], data), write(call, tx, "confirmation", None, row["email"], way)
    letter = write(call, tx, "confirmation", row, row["email"], way)
    return user_json(tx, {**row, "confirmation_sent_at": moment_of(call.services.clock())}), letter


def made_up_user(call: AuthCall, email: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return a User that there is not, as somebody new would look; apps know it by having no identities."""
    moment = moment_of(call.services.clock())
    row: dict[str, Any] = dict.fromkeys(users.COLUMNS)
    row |= {
        "id": uuid4(),
        "aud": users.AUDIENCE,
        "role": users.AUDIENCE,
        "email": email,
        "confirmation_sent_at": moment,
        "raw_app_meta_data": new_users.providers_of(["email"]),
        "raw_user_meta_data": data,
        "created_at": moment,
        "updated_at": moment,
        "is_anonymous": False,
    }
    return public_user(row, [], [])


def _sign_up_again(call: AuthCall, found: dict[str, Any], password: str) -> AuthAnswer:
    """Sign in who once signed up, never confirmed their address and does not have to any more. Others are refused."""
    known = found["email_confirmed_at"] is None and call.services.passwords.matches(
        password, found["encrypted_password"]
    )
    if not known:
        raise _registered()
    with call.project.transaction() as tx:
        row = users.update(tx, found["id"], email_confirmed_at=moment_of(call.services.clock()))
        audit.record(call, tx, "user_signedup", row, provider="email")
        return AuthAnswer(begin_session(call, tx, row, method="password"))


def _sign_up_anonymously(call: AuthCall) -> AuthAnswer:
    limits.count_request(call, "anonymous")
    if not call.project.settings.anonymous_sign_in:
        raise AuthError(422, "anonymous_provider_disabled", "Anonymous sign-ins are disabled")
    if call.text("password"):
        raise AuthError(422, "validation_failed", "To signup with a password, please provide an email or phone")
    with call.project.transaction() as tx:
        row = new_users.create_user(call, tx, is_anonymous=True, raw_user_meta_data=call.members("data") or {})
        audit.record(call, tx, "user_signedup", row, provider="anonymous")
        return AuthAnswer(begin_session(call, tx, row, method="anonymous"))


def _registered() -> AuthError:
    return AuthError(422, "user_already_exists", "User already registered")


ROUTES = (AuthRoute("POST", "/signup", "key", sign_up, captcha=True),)
