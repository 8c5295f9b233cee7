"""What is known of the platform's own secrets: when each was rotated, and who keeps a copy. Never what they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.postgres.sql import statements

if TYPE_CHECKING:
    from datetime import datetime

    from infra.postgres.database import Transaction

SQL = statements(__file__)


@dataclass(frozen=True)
class SecretRotation:
    """A rotation of a secret. old_id, new_id: by what the values are known, where they are random ones."""

    job_id: str
    secret: str
    old_id: str | None
    new_id: str | None
    in_force_at: datetime | None
    good_until: datetime | None
    retired_at: datetime | None


@dataclass(frozen=True)
class SecretCopy:
    """Somebody has said that a copy of this value lies off the machine."""

    secret: str
    value_id: str
    acknowledged_by: str
    acknowledged_at: datetime


def of_job(tx: Transaction, job_id: str) -> SecretRotation | None:
    """Return the rotation that a job carries out, once it has begun."""
    return tx.one(SecretRotation, SQL.of_job, {"job": job_id})


def begin(tx: Transaction, job_id: str, secret: str, *, old_id: str | None, new_id: str | None) -> None:
    """Write down that a rotation is about to change a secret."""
    tx.execute(SQL.begin, {"job": job_id, "secret": secret, "old": old_id, "new": new_id})


def delete_unused(tx: Transaction, job_id: str) -> None:
    """Forget a rotation that has changed nothing."""
    tx.execute(SQL.take_back, {"job": job_id})


def mark_in_force(tx: Transaction, job_id: str) -> None:
    """Write down that the new value is in force."""
    tx.execute(SQL.in_force, {"job": job_id})


def set_grace_time(tx: Transaction, job_id: str, seconds: float) -> datetime:
    """Write down how long the old value is good besides; return until when."""
    until: datetime = tx.value(SQL.good_until, {"job": job_id, "seconds": seconds})
    return until


def mark_retired(tx: Transaction, job_id: str) -> None:
    """Write down that the old value is good for nothing."""
    tx.execute(SQL.retired, {"job": job_id})


def newest(tx: Transaction) -> dict[str, SecretRotation]:
    """Return the last rotation of each secret."""
    return {row.secret: row for row in tx.all(SecretRotation, SQL.newest)}


def acknowledge(tx: Transaction, secret: str, value_id: str, *, by: str) -> None:
    """Write down who keeps a copy of this value off the machine."""
    tx.execute(SQL.acknowledge, {"secret": secret, "value": value_id, "by": by})


def copies(tx: Transaction) -> dict[str, SecretCopy]:
    """Return what was said of copies, by secret."""
    return {row.secret: row for row in tx.all(SecretCopy, SQL.copies)}
