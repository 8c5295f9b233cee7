"""A user and the session that they are signed in by, with all that clients read of both, in one round trip."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from app.auth.store.factors import SQL as FACTORS
from app.auth.store.identities import SQL as IDENTITIES
from app.auth.store.sessions import SQL as SESSIONS
from app.auth.store.users import SQL as USERS
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from psycopg import sql

    from infra.postgres.database import Transaction

SQL = statements(__file__)
_PREFIX = "session_"
_TIMES = {"last_sign_in_at", "created_at", "updated_at", "last_challenged_at"}


@dataclass(frozen=True)
class SignedIn:
    """user: the row, with `identities` and `factors` beside its columns; session: the row, or None without one."""

    user: dict[str, Any]
    session: dict[str, Any] | None


def find(tx: Transaction, user_id: object, session_id: object) -> SignedIn | None:
    """Return a user, and this session if it is theirs; None when there is no such user."""
    row = tx.row(_query(), {"user_id": user_id, "session_id": session_id})
    if row is None:
        return None
    session = {name.removeprefix(_PREFIX): row.pop(name) for name in list(row) if name.startswith(_PREFIX)}
    for each in (*row["identities"], *row["factors"]):
        for name in _TIMES & each.keys():
            each[name] = each[name] and datetime.fromisoformat(each[name])
    return SignedIn(row, None if session["id"] is None else session)


@cache
def _query() -> sql.Composed:
    composed: sql.Composed = SQL.find.format(
        user_columns=USERS.columns,
        identity_columns=IDENTITIES.columns,
        factor_columns=FACTORS.shown,
        amr=SESSIONS.amr,
    )
    return composed
