"""First answers, kept a day: the same key and request get the same answer, and the work is done once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from infra.postgres.sql import statements

if TYPE_CHECKING:
    from infra.postgres.database import Transaction

SQL = statements(__file__)


class IdempotencyConflict(Exception):
    """The key was used for another request."""


@dataclass(frozen=True)
class IdempotencyKey:
    """A client's key: scoped to an owner and a route (method and rule). digest: of the whole request."""

    owner_id: str
    route: str
    key: str
    digest: bytes


@dataclass(frozen=True)
class StoredAnswer:
    """The first answer; secrets that are shown once are not in it."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any] | None


def reserve(tx: Transaction, key: IdempotencyKey) -> StoredAnswer | None:
    """Take the key for this transaction, or return the first answer.

    Waits for another transaction that holds the key. Raises IdempotencyConflict.
    """
    values = vars(key)
    if tx.execute(SQL.reserve, values) == 1:
        return None
    found = tx.row(SQL.find, values)
    if found is None:  # pruned between the two statements
        return reserve(tx, key)
    if bytes(found["request_hash"]) != key.digest:
        raise IdempotencyConflict("the Idempotency-Key was used for another request")
    return StoredAnswer(found["status"], found["headers"], found["body"])


def store_answer(tx: Transaction, key: IdempotencyKey, kept: StoredAnswer) -> None:
    """Keep the answer; it is valid once the transaction commits."""
    body = None if kept.body is None else Jsonb(kept.body)
    tx.execute(SQL.keep, {**vars(key), "status": kept.status, "headers": Jsonb(kept.headers), "body": body})
