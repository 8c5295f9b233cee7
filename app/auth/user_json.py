"""The public User: what clients read of a row of auth.users, and nothing of what is secret in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.auth.store import factors as stored_factors
from app.auth.store import identities as stored_identities
from app.auth.times import rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.postgres.database import Transaction

_TIMES = (
    "email_confirmed_at", "invited_at", "phone_confirmed_at", "confirmation_sent_at", "confirmed_at",
    "recovery_sent_at", "email_change_sent_at", "phone_change_sent_at", "reauthentication_sent_at", "last_sign_in_at",
    "banned_until", "deleted_at",
)  # fmt: skip

_FACTOR_TIMES = ("created_at", "updated_at", "last_challenged_at")


def user_json(tx: Transaction, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the public User of a row, with identities and factors; what of them stands in the row counts as read."""
    if "identities" in row:
        return whole_user(row)
    return public_user(row, stored_identities.of_user(tx, row["id"]), stored_factors.of_user(tx, row["id"]))


def whole_user(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the public User of a row as `store.signed_in` reads it: all that is shown stands beside its columns."""
    return public_user(row, row["identities"], row["factors"])


def public_user(
    row: Mapping[str, Any], identities: Sequence[Mapping[str, Any]], factors: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the public User of rows that have been read already. What is not set is left out."""
    shown: dict[str, Any] = {
        "id": str(row["id"]),
        "aud": row["aud"] or "",
        "role": row["role"] or "",
        "email": row["email"] or "",
        "phone": row["phone"] or "",
        **{name: rfc3339(row[name]) for name in _TIMES if row[name] is not None},
    }
    if row["email_change"]:
        shown["new_email"] = row["email_change"]
    if row["phone_change"]:
        shown["new_phone"] = row["phone_change"]
    shown |= {
        "app_metadata": row["raw_app_meta_data"] or {},
        "user_metadata": row["raw_user_meta_data"] or {},
        "identities": [identity_json(identity) for identity in identities],
        "created_at": rfc3339(row["created_at"]),
        "updated_at": rfc3339(row["updated_at"]),
        "is_anonymous": row["is_anonymous"],
    }
    if factors:
        shown["factors"] = [factor_json(factor) for factor in factors]
    return shown


def factor_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the public Factor of a row of auth.mfa_factors: nothing of what proves it."""
    shown = {
        "id": str(row["id"]),
        "friendly_name": row["friendly_name"],
        "factor_type": row["factor_type"],
        "status": row["status"],
        **{name: rfc3339(row[name]) for name in _FACTOR_TIMES if row[name] is not None},
    }
    return {name: value for name, value in shown.items() if value is not None}


def identity_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the public Identity of a row of auth.identities."""
    shown = {
        "identity_id": str(row["id"]),
        "id": row["provider_id"],
        "user_id": str(row["user_id"]),
        "identity_data": row["identity_data"] or {},
        "provider": row["provider"],
        "last_sign_in_at": rfc3339(row["last_sign_in_at"]),
        "created_at": rfc3339(row["created_at"]),
        "updated_at": rfc3339(row["updated_at"]),
        "email": row["email"],
    }
    return {name: value for name, value in shown.items() if value is not None}
