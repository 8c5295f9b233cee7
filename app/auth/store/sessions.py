"""Who is signed in where: rows of auth.sessions, with the means by which each was signed in (`amr`, newest first)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.auth.store.users import SQL as USERS
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from datetime import datetime

    from infra.postgres.database import Transaction

SQL = statements(__file__)


def begin(tx: Transaction, user_id: object, **given: Any) -> dict[str, Any] | None:
    """Create a session with its first refresh token, all in one statement.

    given  moment, method, aal, token (the refresh token), provider (of the identity that signs in, "" for none),
           user_agent, ip (None when it is not known)

    Return the user's row as it is then, with `session_id`, or None when they are banned or gone.
    """
    query = SQL.begin.format(user_columns=USERS.columns)
    return tx.row(query, {"user_id": user_id, **given})


def find(tx: Transaction, session_id: object) -> dict[str, Any] | None:
    """Return a session, or None."""
    return tx.row(SQL.find.format(columns=SQL.columns.format(amr=SQL.amr)), {"id": session_id})


def add_method(tx: Transaction, session_id: object, method: str, moment: datetime) -> None:
    """Write down by which further means a session was signed in."""
    tx.execute(SQL.add_method, {"session_id": session_id, "method": method, "moment": moment})


def end_one(tx: Transaction, user_id: object, session_id: object) -> int:
    """End a session of the user's, and its refresh tokens; return whether there was one, as a number."""
    return tx.execute(SQL.end_one, {"id": session_id, "user_id": user_id})


def end_all(tx: Transaction, user_id: object) -> int:
    """End all sessions of the user; return how many there were."""
    return tx.execute(SQL.end_all, {"user_id": user_id})


def end_others(tx: Transaction, user_id: object, session_id: object) -> int:
    """End all sessions of the user but this one; return how many there were."""
    return tx.execute(SQL.end_others, {"id": session_id, "user_id": user_id})
