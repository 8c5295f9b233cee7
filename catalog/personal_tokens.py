"""Personal access tokens, for programs: shown once, stored as a hash."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog.ids import is_id, new_id
from catalog.owners import translate_missing_owner
from catalog.sessions import digest
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from infra.postgres.database import Transaction

SQL = statements(__file__)
PREFIX = "ldb_"


class TokenNotFound(Exception):
    """The owner has no such token."""


@dataclass(frozen=True)
class PersonalToken:
    """A row of the table personal_tokens, without what is secret."""

    id: str
    name: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    scopes: list[str]


@dataclass(frozen=True)
class TokenBearer:
    """Whom a token speaks for."""

    id: str
    owner_id: str
    is_operator: bool
    scopes: list[str]


def create(
    tx: Transaction, owner_id: str, *, name: str, expires_at: datetime | None, scopes: Sequence[str] | None = None
) -> tuple[PersonalToken, str]:
    """Write a token; return it with its value, which is not kept. Raises OwnerGone.

    scopes  what it may be used for; None: all that its owner may now, so operators' things only if they are one
    """
    value = PREFIX + secrets.token_urlsafe(32)
    meant = None if scopes is None else sorted(set(scopes))
    values = {"id": new_id("tok"), "owner": owner_id, "name": name, "hash": digest(value), "expires": expires_at}
    with translate_missing_owner():
        made = tx.one(PersonalToken, SQL.create, {**values, "scopes": meant})
    if made is None:
        raise RuntimeError("an insert returned no row")
    return made, value


def page(tx: Transaction, owner_id: str, *, before: str | None, limit: int) -> list[PersonalToken]:
    """Return the owner's tokens, newest first, from the one after `before`."""
    return tx.all(PersonalToken, SQL.page, {"owner": owner_id, "before": before, "limit": limit})


def delete(tx: Transaction, owner_id: str, token_id: str) -> None:
    """Forget a token. Raises TokenNotFound."""
    if not is_id("tok", token_id) or tx.execute(SQL.delete, {"owner": owner_id, "id": token_id}) != 1:
        raise TokenNotFound("you have no such token")


def find_bearer(tx: Transaction, value: str) -> TokenBearer | None:
    """Return whom the token speaks for, and note that it was used; None when it is unknown or expired."""
    return tx.one(TokenBearer, SQL.bearer, {"hash": digest(value)})
