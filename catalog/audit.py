"""Who did what, when, from where: rows that are inserted and never changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from infra.sql import statements

if TYPE_CHECKING:
    from infra.database import Transaction

SQL = statements(__file__)


@dataclass(frozen=True)
class Entry:
    """One line of the audit.

    actor    an owner's id, or 'anonymous'
    action   noun and verb: 'project.create'
    outcome  'accepted', or 'refused: ' and the problem's type
    """

    actor: str
    action: str
    outcome: str = "accepted"
    address: str | None = None
    request_id: str | None = None
    owner_id: str | None = None
    project_id: str | None = None
    job_id: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)


def record(tx: Transaction, entry: Entry) -> None:
    """Write a line; in the transaction of the change, so that neither is without the other."""
    tx.execute(SQL.record, {**vars(entry), "detail": Jsonb(entry.detail)})
