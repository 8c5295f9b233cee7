"""auth.one_time_tokens: what links and codes of letters are checked against. One of a kind a user; used, it is gone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from infra.postgres.database import Transaction

SQL = statements(__file__)
TokenType = Literal[
    "confirmation_token",
    "recovery_token",
    "reauthentication_token",
    "email_change_token_new",
    "email_change_token_current",
]


@dataclass(frozen=True)
class NewToken:
    """A token that is to be kept.

    relates_to  the address that its letter goes to
    invited     whether the letter is an invitation
    durable     whether the transaction is to outlive a crash of the server, which takes a moment more
    """

    user: str
    type: TokenType
    hash: str = field(repr=False)
    relates_to: str
    invited: bool = False
    durable: bool = False


@dataclass(frozen=True)
class UsedToken:
    """A token that was used just now. relates_to: the address that its letter went to."""

    user_id: UUID
    token_type: TokenType
    token_hash: str = field(repr=False)
    relates_to: str


def put(tx: Transaction, token: NewToken, *, now: float) -> None:
    """Keep a token in the place of an earlier one, and note when its letter was sent: now, in seconds of the epoch.

    A user who does not exist costs the same time and writes nothing.
    """
    tx.execute(SQL.put, {**vars(token), "now": now})


def use(
    tx: Transaction, hashes: Sequence[str], types: Collection[TokenType], *, since: float, relates_to: str | None = None
) -> UsedToken | None:
    """Use a token, once; return it, or None when there is none like that, or an older one than `since`.

    relates_to  the address that its letter went to; None: any
    """
    values = {"hashes": list(hashes), "types": list(types), "since": since, "relates_to": relates_to}
    return tx.one(UsedToken, SQL.use, values)


def drop(tx: Transaction, user_id: str, *types: TokenType) -> None:
    """Ensure that a user has no tokens of these types."""
    tx.execute(SQL.drop, {"user": user_id, "types": list(types)})


def drop_all(tx: Transaction, user_id: str) -> None:
    """Ensure that a user has no tokens: nothing that was mailed so far is good any more."""
    tx.execute(SQL.drop_all, {"user": user_id})
