"""Who did what, when, from where: rows that are inserted and never changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from infra.postgres.sql import statements

if TYPE_CHECKING:
    from datetime import datetime

    from infra.postgres.database import Transaction

SQL = statements(__file__)


@dataclass(frozen=True)
class AuditEntry:
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


@dataclass(frozen=True)
class AuditLine:
    """One line as it is read back."""

    id: int
    at: datetime
    actor: str
    action: str
    outcome: str
    address: str | None
    request_id: str | None
    job_id: str | None
    detail: dict[str, Any]


def page(tx: Transaction, project_id: str, *, before: int | None, limit: int) -> list[AuditLine]:
    """Return what was done to a project, newest first, from the line after `before`."""
    return tx.all(AuditLine, SQL.page, {"project": project_id, "before": before, "limit": limit})


def record(tx: Transaction, entry: AuditEntry) -> None:
    """Write a line; in the transaction of the change, so that neither is without the other."""
    tx.execute(SQL.record, {**vars(entry), "detail": Jsonb(entry.detail)})
