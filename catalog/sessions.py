"""Sign-ins: a family of refresh tokens that rotate; one that is used twice ends the family."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infra.sql import statements

if TYPE_CHECKING:
    from infra.database import Transaction

SQL = statements(__file__)
PREFIX = "ldbr_"


@dataclass(frozen=True)
class Session:
    """A sign-in with its newest refresh token, which is stored as a hash only."""

    id: str
    owner_id: str
    refresh_token: str = field(repr=False)


@dataclass(frozen=True)
class Standing:
    """Who stands behind an access token. ended: signed out, or a refresh token was used twice."""

    owner_id: str
    is_operator: bool
    ended: bool


def start(tx: Transaction, owner_id: str, *, seconds: int) -> Session:
    """Begin a sign-in whose refresh token lives so many seconds."""
    return _issue(tx, owner_id, str(uuid.uuid4()), seconds)


def refresh(tx: Transaction, token: str, *, seconds: int) -> Session | None:
    """Exchange a refresh token for the next one; None when it is unknown, expired, revoked or was used before.

    A second use means that two parties hold it: the whole family is revoked, so commit the transaction either way.
    """
    used = tx.row(SQL.use, {"hash": digest(token)})
    if used is not None:
        return _issue(tx, used["owner_id"], str(used["family_id"]), seconds)
    tx.execute(SQL.revoke_family_of, {"hash": digest(token)})
    return None


def end(tx: Transaction, session_id: str) -> None:
    """Revoke the sign-in: its refresh tokens at once, its access tokens as soon as they are looked at."""
    tx.execute(SQL.revoke_family, {"family": session_id})


def standing(tx: Transaction, owner_id: str, session_id: str | None) -> Standing | None:
    """Say who the owner is and whether the sign-in has ended; None when there is no such owner."""
    return tx.one(Standing, SQL.standing, {"owner": owner_id, "family": session_id})


def digest(token: str) -> bytes:
    """Return what is stored of a random token; 256 random bits need no salt."""
    return hashlib.sha256(token.encode()).digest()


def _issue(tx: Transaction, owner_id: str, family_id: str, seconds: int) -> Session:
    token = PREFIX + secrets.token_urlsafe(32)
    values = {"hash": digest(token), "family": family_id, "owner": owner_id, "seconds": seconds}
    tx.execute(SQL.issue, values)
    return Session(family_id, owner_id, token)
