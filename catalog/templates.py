"""What each version of the template holds, kept once: projects are compared with the one they are equal to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from infra.postgres.sql import statements

if TYPE_CHECKING:
    from infra.postgres.database import Transaction

SQL = statements(__file__)


def schema_of(tx: Transaction, template: str) -> list[dict[str, Any]] | None:
    """Return what a template holds; None when nobody has looked yet."""
    found: list[dict[str, Any]] | None = tx.value(SQL.objects, {"template": template})
    return found


def store(tx: Transaction, template: str, found: list[dict[str, Any]]) -> None:
    """Keep what a template holds; the first to look is right, since a template never changes."""
    tx.execute(SQL.keep, {"template": template, "objects": Jsonb(found)})
