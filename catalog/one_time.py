"""Links that work once: to reset a password, and to register by invitation. Stored as a hash."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from catalog.sessions import digest
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from datetime import datetime

    from catalog.owners import Owner
    from infra.postgres.database import Transaction

SQL = statements(__file__)
RESET_PREFIX, INVITATION_PREFIX = "ldbp_", "ldbi_"
RESET_SECONDS, INVITATION_SECONDS = 3600, 7 * 86_400
# More links than these within an hour are asked for by somebody else.
RESETS_PER_HOUR = 5
SPENT = "the link is not valid (any more)"


class TokenSpent(Exception):
    """There is no such link, or it was used, replaced, or is too old; or it is for somebody else."""


@dataclass(frozen=True)
class OneTimeLink:
    """A link that was made just now; its value is not kept."""

    expires_at: datetime
    value: str = field(repr=False)


@dataclass(frozen=True)
class LinkGrant:
    """What a link lets its holder do. owner_id: whose password is reset."""

    email: str
    owner_id: str | None


def create_password_reset(tx: Transaction, owner: Owner | None, *, email: str, by: str) -> OneTimeLink:
    """Make a link for another password; earlier ones end.

    For an address that nobody has (owner None) the same is written, of no use to anybody: it takes the same time.
    """
    whom = (owner.id if owner else None, email, by)
    return _make(tx, "reset" if owner else "void", RESET_PREFIX, RESET_SECONDS, whom)


def too_many_resets(tx: Transaction, email: str) -> bool:
    """Return whether as many links were asked for this address within the hour as may."""
    return int(tx.value(SQL.recent_resets, {"email": email})) >= RESETS_PER_HOUR


def create_invitation(tx: Transaction, email: str, *, by: str) -> OneTimeLink:
    """Make an invitation for an address; earlier ones end."""
    return _make(tx, "invitation", INVITATION_PREFIX, INVITATION_SECONDS, (None, email, by))


def peek(tx: Transaction, purpose: Literal["reset", "invitation"], value: str) -> LinkGrant:
    """Return what a link is good for, without using it. Raises TokenSpent."""
    return _granted(tx.one(LinkGrant, SQL.look, {"purpose": purpose, "hash": digest(value)}))


def require_valid(tx: Transaction, purpose: Literal["reset", "invitation"], value: str, email: str) -> None:
    """Raise TokenSpent unless the link is good for this address."""
    if peek(tx, purpose, value).email != email:
        raise TokenSpent(SPENT)


def redeem(tx: Transaction, purpose: Literal["reset", "invitation"], value: str) -> LinkGrant:
    """Use a link, once: of two at the same time one is refused. Raises TokenSpent."""
    return _granted(tx.one(LinkGrant, SQL.use, {"purpose": purpose, "hash": digest(value)}))


def end_resets(tx: Transaction, owner_id: str) -> None:
    """End the links for another password that the owner still has."""
    tx.execute(SQL.end_resets, {"owner": owner_id})


def _make(tx: Transaction, purpose: str, prefix: str, seconds: int, whom: tuple[str | None, str, str]) -> OneTimeLink:
    owner_id, email, by = whom
    value = prefix + secrets.token_urlsafe(32)
    values = {"hash": digest(value), "purpose": purpose, "owner": owner_id, "email": email, "by": by}
    tx.execute(SQL.replace, values)
    expires_at: datetime = tx.value(SQL.make, {**values, "seconds": seconds})
    return OneTimeLink(expires_at, value)


def _granted(grant: LinkGrant | None) -> LinkGrant:
    if grant is None:
        raise TokenSpent(SPENT)
    return grant
