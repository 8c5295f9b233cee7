"""By which means a user is known: their address, their number, or an account elsewhere. Rows of auth.identities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.types.json import Jsonb

from app.auth.store.users import Taken
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from infra.postgres.database import Transaction

SQL = statements(__file__)


def create(
    tx: Transaction,
    user_id: object,
    provider: str,
    provider_id: str,
    identity_data: Mapping[str, Any],
    *,
    moment: datetime | None = None,
) -> dict[str, Any]:
    """Create an identity; return its row.

    provider_id  who they are at the provider; for addresses and numbers, the user's id
    moment       of its creation; None: of the transaction

    Raises Taken when somebody has it.
    """
    values = {
        "user_id": user_id,
        "provider": provider,
        "provider_id": provider_id,
        "identity_data": Jsonb(dict(identity_data)),
        "moment": moment or tx.value("SELECT pg_catalog.now()"),
    }
    try:
        row = tx.row(SQL.create.format(columns=SQL.columns), values)
    except psycopg.errors.UniqueViolation as error:
        raise Taken(error.diag.constraint_name or "") from error
    return row or {}


def of_user(tx: Transaction, user_id: object) -> list[dict[str, Any]]:
    """List a user's identities, the oldest first."""
    return tx.rows(SQL.of_user.format(columns=SQL.columns), {"user_id": user_id})


def of_users(tx: Transaction, user_ids: Sequence[object]) -> dict[object, list[dict[str, Any]]]:
    """Return the identities of each of these users, the oldest first; users without any are left out."""
    found: dict[object, list[dict[str, Any]]] = {}
    for row in tx.rows(SQL.of_users.format(columns=SQL.columns), {"user_ids": list(user_ids)}):
        found.setdefault(row["user_id"], []).append(row)
    return found


def merge_data(tx: Transaction, user_id: object, provider: str, identity_data: Mapping[str, Any]) -> int:
    """Write these members into what is known by one provider of a user; return how many identities that changed."""
    values = {"user_id": user_id, "provider": provider, "identity_data": Jsonb(dict(identity_data))}
    return tx.execute(SQL.merge_data, values)


def delete_of_user(tx: Transaction, user_id: object) -> int:
    """Delete all identities of a user; return how many there were."""
    return tx.execute(SQL.delete_of_user, {"user_id": user_id})


def find(tx: Transaction, provider: str, provider_id: str) -> dict[str, Any] | None:
    """Return the identity of an account at a provider, or None."""
    values = {"provider": provider, "provider_id": provider_id}
    return tx.row(SQL.find.format(columns=SQL.columns), values)


def refresh(tx: Transaction, identity_id: object, identity_data: Mapping[str, Any], moment: datetime) -> dict[str, Any]:
    """Write down what a provider says of somebody now, when they sign in with it; return the row."""
    values = {"id": identity_id, "identity_data": Jsonb(dict(identity_data)), "moment": moment}
    return tx.row(SQL.refresh.format(columns=SQL.columns), values) or {}


def delete(tx: Transaction, user_id: object, identity_id: object) -> bool:
    """Delete one identity of a user; say whether it was there."""
    return tx.execute(SQL.delete, {"id": identity_id, "user_id": user_id}) > 0


def delete_others(tx: Transaction, user_id: object, identity_id: object) -> int:
    """Delete all identities of a user but this one; return how many there were."""
    return tx.execute(SQL.delete_others, {"id": identity_id, "user_id": user_id})


def users_of_email(tx: Transaction, email: str) -> list[object]:
    """List the ids of the users whose address this is, or whose provider vouches that it is."""
    return [row["id"] for row in tx.rows(SQL.users_of_email, {"email": email.lower()})]
