"""Refresh tokens of sessions: each replaces the one before it, and an old one that comes again ends the session."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from infra.postgres.sql import statements

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from uuid import UUID

    from infra.postgres.database import Transaction

SQL = statements(__file__)
Outcome = Literal[
    "rotated", "repeated", "unknown", "sessionless", "expired", "inactive", "superseded", "banned", "stolen"
]


@dataclass(frozen=True)
class Rotation:
    """What came of a refresh token that was presented; `migrations/project/013_auth_oauth.sql` has the rules.

    refresh_token  the one that is good from now on, where the outcome is rotated or repeated
    """

    outcome: Outcome
    refresh_token: str | None
    user_id: UUID | None
    session_id: UUID | None


def make_token() -> str:
    """Make a refresh token: nobody can guess it, and it says nothing."""
    return secrets.token_urlsafe(24)


def rotate(tx: Transaction, presented: str, moment: datetime, *, reuse: timedelta, lives: timedelta) -> Rotation:
    """Replace a refresh token, or find out why not, in one statement.

    reuse  for how long after its use an older token counts as that of a lost answer
    lives  how long a token may lie unused
    """
    values = {"presented": presented, "fresh": make_token(), "moment": moment, "reuse": reuse, "lives": lives}
    found = tx.one(Rotation, SQL.rotate, values)
    if found is None:
        raise LookupError("the function that rotates refresh tokens answered nothing")
    return found


def live(tx: Transaction, session_id: object) -> str | None:
    """Return the refresh token of a session that is good now, or None."""
    found = tx.value(SQL.live, {"session_id": session_id})
    return None if found is None else str(found)
