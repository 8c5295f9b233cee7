"""What somebody should look at: the one list that the API and the command line show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog.project_states import SETS
from infra.disk import disk_shortage
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from config.settings import Settings
    from infra.postgres.database import Transaction

SQL = statements(__file__)
COLUMNS = ("what", "subject", "detail", "see")
# What ends with the project as the catalogue wants it, whichever of these had failed to bring that about.
SETTLING = ("project.configure", "project.reconcile", "project.restart", "project.resume", "project.wake")
SETTLED_BY_THEM = (*SETTLING, "project.pause", "project.sleep")


def wants_attention(tx: Transaction, settings: Settings) -> list[dict[str, str | None]]:
    """Return what is wrong now, the weightiest first.

    Each entry says what it is, of what (subject), why (detail), and which job to look at (see) or None.
    """
    found = tx.rows(SQL.attention, {**SETS, "settling": list(SETTLING), "settled_by_them": list(SETTLED_BY_THEM)})
    short = disk_shortage(settings)
    first = [{"what": "a disk is full", "subject": None, "detail": short, "see": None}] if short else []
    return [*first, *({name: row[name] for name in COLUMNS} for row in found)]
