"""What ended jobs tell: sums for the metrics and medians for estimates, gathered beside the hot path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infra.postgres.sql import statements

if TYPE_CHECKING:
    from infra.postgres.database import Database, Transaction

SQL = statements(__file__)
MOST_JOBS = 2000


class JobStatistics:
    """Several may run: they take turns by the row that says how far the sums go."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def run_once(self) -> int:
        """Take one batch of ended jobs into the sums; return how many. Raises Unavailable when Postgres is away."""
        with self._database.transaction() as tx:
            return int(tx.value(SQL.gather, {"most": MOST_JOBS}))


def sums(tx: Transaction) -> list[dict[str, Any]]:
    """Return every sum: measure, kind, label, count, seconds, buckets and their bounds."""
    return tx.rows(SQL.sums)


def medians(tx: Transaction, kinds: list[str]) -> dict[tuple[str, str], float]:
    """Return the median seconds of each kind's steps that have a history, by (kind, step)."""
    return {(row["kind"], row["step"]): float(row["took"]) for row in tx.rows(SQL.medians, {"kinds": kinds})}
