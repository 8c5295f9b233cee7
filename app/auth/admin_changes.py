"""What whoever holds the service key writes of a user: the body, as columns of auth.users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from app.auth import addresses, password_rules
from app.auth.durations import ban_duration
from app.auth.errors import validation_error
from app.auth.times import moment_of

if TYPE_CHECKING:
    from app.auth.serve.call import AuthCall

NAME_MAX = 255
TEXTS = ("email", "phone", "password", "password_hash", "id", "role", "aud", "ban_duration")
FLAGS = ("email_confirm", "phone_confirm")
OBJECTS = ("user_metadata", "app_metadata")


def columns_of_new_user(call: AuthCall) -> dict[str, Any]:
    """Return the columns of a user who is to be created, for `new_users.create_user`. Raises AuthError."""
    call.ensure_types(texts=TEXTS, flags=FLAGS, objects=OBJECTS)
    email, phone = addresses.email_of(call), addresses.phone_of(call)
    if not email and not phone:
        raise validation_error("Cannot create a user without either an email or phone")
    password, stored = call.text("password"), call.text("password_hash")
    if password and stored:
        raise validation_error("Only a password or a password hash should be provided")
    columns = {"email": email or None, "phone": phone or None, **_standing(call)}
    if call.text("id"):
        columns["id"] = _own_id(call.text("id"))
    for name, column in (("user_metadata", "raw_user_meta_data"), ("app_metadata", "raw_app_meta_data")):
        columns[column] = call.members(name)
    if stored:
        columns["encrypted_password"] = _checked_hash(call, stored)
    elif password:
        # No rules here: it is not the user who chooses it.
        password_rules.ensure_length(password)
        columns["encrypted_password"] = call.services.passwords.hash(password)
    return columns


def changed_columns(call: AuthCall) -> dict[str, Any]:
    """Return the columns that are to change, metadata as it was given. Raises AuthError."""
    call.ensure_types(texts=TEXTS, flags=FLAGS, objects=OBJECTS)
    email, phone = addresses.email_of(call), addresses.phone_of(call)
    columns = {"updated_at": moment_of(call.services.clock()), **_standing(call)}
    columns |= {name: value for name, value in (("email", email), ("phone", phone)) if value}
    if columns.get("email_confirmed_at"):
        columns["is_anonymous"] = False
    for name, column in (("user_metadata", "raw_user_meta_data"), ("app_metadata", "raw_app_meta_data")):
        columns[column] = call.members(name)
    if call.body.get("password") is not None:
        password = call.text("password")
        password_rules.ensure_strength(call, password)
        columns["encrypted_password"] = call.services.passwords.hash(password)
    elif call.text("password_hash"):
        columns["encrypted_password"] = _checked_hash(call, call.text("password_hash"))
    return columns


def _standing(call: AuthCall) -> dict[str, Any]:
    """Return the columns that say what a user may: role, confirmations, ban."""
    now = moment_of(call.services.clock())
    columns: dict[str, Any] = {}
    for name in ("role", "aud"):
        if call.text(name):
            columns[name] = _short(call.text(name), name)
    for name in ("email", "phone"):
        if call.flag(f"{name}_confirm"):
            columns[f"{name}_confirmed_at"] = now
    if call.text("ban_duration"):
        lasts = ban_duration(call.text("ban_duration"))
        columns["banned_until"] = None if lasts is None else now + lasts
    return columns


def _checked_hash(call: AuthCall, stored: str) -> str:
    if len(stored) > NAME_MAX or not call.services.passwords.takes(stored):
        raise validation_error("password_hash must be a bcrypt, Argon2 or Firebase scrypt hash of usual cost")
    return stored


def _own_id(given: str) -> UUID:
    try:
        chosen = UUID(given)
    except ValueError as error:
        raise validation_error("ID must conform to the uuid v4 format") from error
    if chosen == UUID(int=0):
        raise validation_error("ID cannot be a nil uuid")
    return chosen


def _short(value: str, name: str) -> str:
    if len(value) > NAME_MAX:
        raise validation_error(f"{name} is too long")
    return value
