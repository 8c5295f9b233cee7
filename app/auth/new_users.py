"""How a user comes about: the row, the identities by which they are known, and what their metadata says of those."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from app.auth.errors import AuthError
from app.auth.hooks import hooks
from app.auth.json_values import merged
from app.auth.store import identities, users
from app.auth.times import moment_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from app.auth.serve.call import AuthCall
    from infra.postgres.database import Transaction

EMAIL_TAKEN = "A user with this email address has already been registered"
PHONE_TAKEN = "Phone number already registered by another user"
NO_ROOM = "Signups not allowed for this instance, which has as many users as its quota allows"


def create_user(call: AuthCall, tx: Transaction, **columns: Any) -> dict[str, Any]:
    """Create a user with an identity for their address and one for their number; return the row.

    columns  of auth.users. What `raw_app_meta_data` says comes on top of what the identities make of it.

    Raises users.Taken, and AuthError when the project's hook refuses them or its quota is reached.
    """
    moment = moment_of(call.services.clock())
    known = [provider for provider in ("email", "phone") if columns.get(provider)]
    app_metadata = {**providers_of(known), **(columns.pop("raw_app_meta_data", None) or {})}
    user_metadata = columns.pop("raw_user_meta_data", None) or {}
    whole = {
        "created_at": moment,
        "updated_at": moment,
        **columns,
        "raw_app_meta_data": app_metadata,
        "raw_user_meta_data": user_metadata,
    }
    row = insert_user(call, tx, whole)
    for provider in known:
        add_identity(tx, row, provider, user_metadata, moment)
    return row


def insert_user(call: AuthCall, tx: Transaction, columns: dict[str, Any]) -> dict[str, Any]:
    """Create the row of a user, whom the project's function may refuse before. Raises AuthError, users.Taken."""
    if call.project.settings.hook_before_user_created:
        columns = {"id": uuid4(), **columns}
        row = {**dict.fromkeys(users.COLUMNS), "aud": users.AUDIENCE, "role": users.AUDIENCE, "is_anonymous": False}
        hooks.before_user_created(call, tx, {**row, **columns})
    ensure_room(call, tx)
    return users.create(tx, **columns)


def ensure_room(call: AuthCall, tx: Transaction) -> None:
    """Ensure that one more user does not exceed the quota of the project, if it has one. Raises AuthError (422)."""
    if not has_room(call, tx):
        raise AuthError(422, "signup_disabled", NO_ROOM)


def has_room(call: AuthCall, tx: Transaction) -> bool:
    """Return whether one more user does not exceed the quota of the project, if it has one."""
    quota = call.project.settings.users_quota
    return not quota or users.has_room(tx, quota)


def add_identity(
    tx: Transaction, row: Mapping[str, Any], provider: str, more: Mapping[str, Any], moment: datetime
) -> None:
    """Create the identity of a user's address or number. more: members that its data has besides."""
    identities.create(tx, row["id"], provider, str(row["id"]), {**more, **identity_data(row, provider)}, moment=moment)


def identity_data(row: Mapping[str, Any], provider: str) -> dict[str, Any]:
    """Return what the identity of an address or a number says of a user."""
    said: dict[str, Any] = {"sub": str(row["id"])}
    if provider == "email":
        said["email"] = row["email"]
    else:
        said["phone"] = row["phone"]
    said["email_verified"] = provider == "email" and row["email_confirmed_at"] is not None
    said["phone_verified"] = provider == "phone" and row["phone_confirmed_at"] is not None
    return said


def providers_of(providers: list[str]) -> dict[str, Any]:
    """Return what the app metadata says of the means by which somebody is known, the first of them first."""
    return {"provider": providers[0], "providers": providers} if providers else {}


def merged_metadata(kept: Mapping[str, Any] | None, changes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return metadata with these members written into it, if any; null takes one away."""
    return dict(kept or {}) if changes is None else merged(kept, changes)


def taken_error(error: users.Taken) -> AuthError:
    """Return the refusal (422) of an address, a number or an id that somebody else has."""
    if "email" in error.constraint:
        return AuthError(422, "email_exists", EMAIL_TAKEN)
    if "phone" in error.constraint:
        return AuthError(422, "phone_exists", PHONE_TAKEN)
    return AuthError(422, "user_already_exists", "A user with this id has already been registered")
