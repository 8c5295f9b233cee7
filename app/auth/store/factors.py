"""Second factors of users and challenges to them: rows of auth.mfa_factors and auth.mfa_challenges."""

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
Row = dict[str, Any]


def create(
    tx: Transaction, user_id: object, factor_type: str, friendly_name: str, secret: str | None, moment: datetime
) -> Row:
    """Create a factor that is not verified yet; return its row. Raises Taken when the user has one of this name."""
    values = {"user_id": user_id, "factor_type": factor_type, "friendly_name": friendly_name}
    query = SQL.create.format(columns=SQL.columns)
    return _named(tx, query, {**values, "secret": secret, "moment": moment}) or {}


def find(tx: Transaction, user_id: object, factor_id: object, *, lock: bool = False) -> Row | None:
    """Return a factor of the user's, or None. lock: nobody else changes it until the transaction ends."""
    query = (SQL.lock if lock else SQL.find).format(columns=SQL.columns)
    return tx.row(query, {"id": factor_id, "user_id": user_id})


def of_user(tx: Transaction, user_id: object) -> list[Row]:
    """List what may be shown of a user's factors, the oldest first."""
    return of_users(tx, [user_id]).get(user_id, [])


def of_users(tx: Transaction, user_ids: Sequence[object]) -> dict[object, list[Row]]:
    """Return what may be shown of the factors of each of these users, the oldest first; others are left out."""
    found: dict[object, list[Row]] = {}
    for row in tx.rows(SQL.of_users.format(shown=SQL.shown), {"user_ids": list(user_ids)}):
        found.setdefault(row.pop("user_id"), []).append(row)
    return found


def count(tx: Transaction, user_id: object) -> int:
    """Return how many factors a user has, verified or not."""
    return int(tx.value(SQL.count, {"user_id": user_id}))


def forget_unverified(tx: Transaction, user_id: object, before: datetime) -> None:
    """Forget a user's factors that were begun before then and never verified."""
    tx.execute(SQL.forget_unverified, {"user_id": user_id, "before": before})


def take_code(tx: Transaction, factor_id: object, step: int) -> bool:
    """Return whether a code of this time step, or of a later one, comes for the first time; it counts as used now."""
    return tx.execute(SQL.take_code, {"id": factor_id, "step": step}) > 0


def verify(
    tx: Transaction,
    factor_id: object,
    moment: datetime,
    *,
    credential: Mapping[str, Any] | None = None,
    aaguid: str | None = None,
) -> None:
    """Write down that a factor is verified, and the credential that proves it from now on."""
    kept = None if credential is None else Jsonb(dict(credential))
    tx.execute(SQL.verify, {"id": factor_id, "moment": moment, "credential": kept, "aaguid": aaguid})


def rename(tx: Transaction, factor_id: object, friendly_name: str, moment: datetime) -> Row | None:
    """Give a factor another name; return its row. Raises Taken when the user has one of this name."""
    query = SQL.rename.format(columns=SQL.columns)
    return _named(tx, query, {"id": factor_id, "friendly_name": friendly_name, "moment": moment})


def delete(tx: Transaction, factor_id: object, moment: datetime) -> None:
    """Delete a factor; sessions that it raised are of the first level again."""
    tx.execute(SQL.downgrade_sessions, {"id": factor_id, "moment": moment})
    tx.execute(SQL.delete, {"id": factor_id})


def challenge(tx: Transaction, factor_id: object, moment: datetime, ip: str, data: Mapping[str, Any] | None) -> object:
    """Write a challenge; return its id. ip: of who asked; data: what a credential has to answer to."""
    kept = None if data is None else Jsonb(dict(data))
    return tx.value(SQL.challenge, {"factor_id": factor_id, "moment": moment, "ip": ip, "data": kept})


def find_challenge(tx: Transaction, factor_id: object, challenge_id: object) -> Row | None:
    """Return a challenge of the factor's, or None."""
    return tx.row(SQL.find_challenge, {"id": challenge_id, "factor_id": factor_id})


def close_challenge(tx: Transaction, challenge_id: object, moment: datetime) -> bool:
    """Return whether a challenge is answered for the first time; it is closed now."""
    return tx.execute(SQL.close_challenge, {"id": challenge_id, "moment": moment}) > 0


def forget_challenges(tx: Transaction, factor_id: object, before: datetime) -> None:
    """Forget the factor's challenges from before then."""
    tx.execute(SQL.forget_challenges, {"factor_id": factor_id, "before": before})


def raise_session(tx: Transaction, user_id: object, session_id: object, factor_id: object, moment: datetime) -> None:
    """Raise a session to the second level by this factor; the user's sessions of the first level end."""
    tx.execute(SQL.raise_session, {"id": session_id, "factor_id": factor_id, "moment": moment})
    tx.execute(SQL.end_lower_sessions, {"user_id": user_id, "kept": session_id})


def _named(tx: Transaction, query: Any, values: Mapping[str, Any]) -> Row | None:
    try:
        return tx.row(query, values)
    except psycopg.errors.UniqueViolation as error:
        raise Taken(error.diag.constraint_name or "") from error
