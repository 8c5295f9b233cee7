"""Sign-ins: a family of refresh tokens that rotate; one that is used twice ends the family."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from catalog.owners import translate_missing_owner
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from datetime import datetime

    from infra.postgres.database import Transaction

SQL = statements(__file__)
PREFIX = "ldbr_"


class SessionNotFound(Exception):
    """The owner has no such sign-in."""


@dataclass(frozen=True)
class Session:
    """A sign-in with its newest refresh token, which is stored as a hash only."""

    id: str
    owner_id: str
    refresh_token: str = field(repr=False)


@dataclass(frozen=True)
class SignIn:
    """A sign-in that goes on, as its owner sees it. address: where it was renewed from last."""

    id: str
    started_at: datetime
    used_at: datetime
    expires_at: datetime
    address: str


@dataclass(frozen=True)
class AccessStatus:
    """Who stands behind an access token. ended: signed out, or a refresh token was used twice."""

    owner_id: str
    is_operator: bool
    ended: bool


def start(tx: Transaction, owner_id: str, *, seconds: int, address: str) -> Session:
    """Begin a sign-in whose refresh token lives so many seconds. Raises OwnerGone."""
    with translate_missing_owner():
        return _issue(tx, {"owner": owner_id, "family": str(uuid.uuid4()), "seconds": seconds, "address": address})


def refresh(tx: Transaction, token: str, *, seconds: int, address: str) -> Session | None:
    """Exchange a refresh token for the next one; None when it is unknown, expired, revoked or was used before.

    A second use means that two parties hold it: the whole family is revoked, so commit the transaction either way.
    """
    tx.execute(SQL.hold_owner, {"hash": digest(token)})
    used = tx.row(SQL.use, {"hash": digest(token)})
    if used is not None:
        return _issue(tx, {**used, "family": str(used["family"]), "seconds": seconds, "address": address})
    tx.execute(SQL.revoke_family_of, {"hash": digest(token)})
    return None


def page(tx: Transaction, owner_id: str, *, before: tuple[str, str] | None, limit: int) -> list[SignIn]:
    """Return the owner's sign-ins that go on, newest first, from the one after `before` (its time and id)."""
    at, last = before or (None, None)
    return tx.all(SignIn, SQL.page, {"owner": owner_id, "at": at, "before": last, "limit": limit})


def end(tx: Transaction, session_id: str) -> None:
    """Revoke the sign-in: its refresh tokens at once, its access tokens as soon as they are looked at."""
    tx.execute(SQL.revoke_family, {"family": session_id})


def end_one(tx: Transaction, owner_id: str, session_id: str) -> None:
    """End a sign-in of this owner. Raises SessionNotFound."""
    values = {"family": session_id, "owner": owner_id}
    if not is_session_id(session_id) or not tx.execute(SQL.revoke_family_of_owner, values):
        raise SessionNotFound("you have no such sign-in")


def is_session_id(text: str) -> bool:
    """Return whether this is the form of a sign-in's id: a UUID in its one spelling."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def end_all(tx: Transaction, owner_id: str, *, but: str | None = None) -> None:
    """End every sign-in of the owner, whose row is locked, but the one that is named."""
    tx.execute(SQL.revoke_all, {"owner": owner_id, "but": but})


def access_status(tx: Transaction, owner_id: str, session_id: str | None) -> AccessStatus | None:
    """Return who the owner is and whether the sign-in has ended; None when there is no such owner."""
    return tx.one(AccessStatus, SQL.standing, {"owner": owner_id, "family": session_id})


def digest(token: str) -> bytes:
    """Return what is stored of a random token; 256 random bits need no salt."""
    return hashlib.sha256(token.encode()).digest()


def _issue(tx: Transaction, values: dict[str, Any]) -> Session:
    token = PREFIX + secrets.token_urlsafe(32)
    tx.execute(SQL.issue, {"started": None, **values, "hash": digest(token)})
    return Session(values["family"], values["owner"], token)
