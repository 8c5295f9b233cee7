"""The audit's hash chain: rows are sealed in the order of their ids; what is changed afterwards is found and named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog.audit import AuditLine
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from datetime import datetime

    from infra.postgres.database import Transaction

SQL = statements(__file__)
# How many faults are named: one is enough to know, a thousand is a table that was copied over.
MOST_FAULTS = 1000


@dataclass(frozen=True)
class SealedLine(AuditLine):
    """A line of the whole installation's audit; sealed: whether it is in the chain."""

    owner_id: str | None
    project_id: str | None
    sealed: bool


@dataclass(frozen=True)
class ChainState:
    """The end of the chain: the last row sealed and its link, and how much is not sealed yet."""

    last_id: int
    link: str
    sealed_at: datetime | None
    unsealed: int
    oldest_unsealed_seconds: float | None


@dataclass(frozen=True)
class ChainFault:
    """A row that is not as it was sealed; fault: 'changed', 'removed' or 'inserted'."""

    id: int
    fault: str


def newest_unsealed(tx: Transaction) -> int | None:
    """Return the highest id that is not sealed, or None."""
    found: int | None = tx.value(SQL.newest)
    return found


def open_writers(tx: Transaction) -> set[str]:
    """Return the transactions that may hold an id which nobody sees yet."""
    return {row["writer"] for row in tx.rows(SQL.writers)}


def seal(tx: Transaction, upto: int, *, most: int) -> int:
    """Chain rows up to that id, at most so many; return how many. No transaction may still hold a lower id."""
    return int(tx.value(SQL.seal, {"upto": upto, "most": most}))


def chain_state(tx: Transaction) -> ChainState:
    """Return where the chain ends."""
    found = tx.one(ChainState, SQL.state)
    if found is None:
        raise LookupError("the audit's chain has no end: its row was removed")
    return found


def verify(tx: Transaction) -> list[ChainFault]:
    """Read the whole audit and return the rows that were changed, removed or inserted since they were sealed."""
    return tx.all(ChainFault, SQL.verify, {"most": MOST_FAULTS})


def page(tx: Transaction, *, before: int | None, limit: int) -> list[SealedLine]:
    """Return what was done in the whole installation, newest first, from the line after `before`."""
    return tx.all(SealedLine, SQL.page, {"before": before, "limit": limit})
