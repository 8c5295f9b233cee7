"""Passkeys of users and challenges to them: rows of auth.webauthn_credentials and auth.webauthn_challenges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import psycopg
from psycopg.types.json import Jsonb

from app.auth.store.users import Taken
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from infra.postgres.database import Transaction

SQL = statements(__file__)
ChallengeType = Literal["registration", "authentication"]
Row = dict[str, Any]


def create(tx: Transaction, user_id: object, moment: datetime, **columns: Any) -> Row:
    """Create a passkey; return its row. Raises Taken when somebody has this credential."""
    values = {**columns, "transports": Jsonb(columns["transports"]), "user_id": user_id, "moment": moment}
    try:
        return tx.row(SQL.create.format(columns=SQL.columns), values) or {}
    except psycopg.errors.UniqueViolation as error:
        raise Taken(error.diag.constraint_name or "") from error


def of_user(tx: Transaction, user_id: object) -> list[Row]:
    """List a user's passkeys, the oldest first."""
    return tx.rows(SQL.of_user.format(columns=SQL.columns), {"user_id": user_id})


def find(tx: Transaction, credential_id: bytes) -> Row | None:
    """Return the passkey of this credential, which nobody else uses until the transaction ends, or None."""
    return tx.row(SQL.find.format(columns=SQL.columns), {"credential_id": credential_id})


def note_use(tx: Transaction, passkey_id: object, moment: datetime, *, sign_count: int, backed_up: bool) -> None:
    """Write down that somebody has signed in by a passkey."""
    tx.execute(SQL.note_use, {"id": passkey_id, "moment": moment, "sign_count": sign_count, "backed_up": backed_up})


def rename(tx: Transaction, user_id: object, passkey_id: object, friendly_name: str, moment: datetime) -> Row | None:
    """Give a passkey of the user's another name; return its row, or None when they have no such one."""
    values = {"id": passkey_id, "user_id": user_id, "friendly_name": friendly_name, "moment": moment}
    return tx.row(SQL.rename.format(columns=SQL.columns), values)


def delete(tx: Transaction, user_id: object, passkey_id: object) -> bool:
    """Delete a passkey of the user's; say whether there was one."""
    return tx.execute(SQL.delete, {"id": passkey_id, "user_id": user_id}) > 0


def challenge(
    tx: Transaction,
    user_id: object | None,
    challenge_type: ChallengeType,
    data: Mapping[str, Any],
    *,
    moment: datetime,
    expires: datetime,
) -> object:
    """Write a challenge, and forget some that nobody has answered in time; return its id."""
    tx.execute(SQL.forget_expired, {"moment": moment})
    values = {"user_id": user_id, "challenge_type": challenge_type, "data": Jsonb(dict(data))}
    return tx.value(SQL.challenge, {**values, "moment": moment, "expires": expires})


def take_challenge(
    tx: Transaction, user_id: object | None, challenge_type: ChallengeType, challenge_id: object, moment: datetime
) -> Row | None:
    """Return what a challenge was about, once: nobody can answer it again. None when there is none, or no more."""
    found = tx.row(SQL.take_challenge, {"id": challenge_id, "challenge_type": challenge_type, "user_id": user_id})
    return None if found is None or found["expires_at"] <= moment else dict(found["session_data"])
