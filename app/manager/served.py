"""Which data APIs there are, by the ledger: whoever asks Docker for that could ask it for more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.postgres.sql import statements

if TYPE_CHECKING:
    from infra.postgres.database import Transaction

SQL = statements(__file__)


def served_instances(tx: Transaction) -> list[tuple[str, str]]:
    """Return the data APIs that are there, with the project that each belongs to."""
    return [(row["name"], row["project_id"]) for row in tx.rows(SQL.instances)]
