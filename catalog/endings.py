"""What the watchdog has ended: sums by project and cause, beside the lines of the audit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.postgres.sql import statements

if TYPE_CHECKING:
    from datetime import datetime

    from infra.postgres.database import Transaction

SQL = statements(__file__)
# How long a login is kept out that took the locks of all; each time in a row twice as long.
KEPT_OUT_SECONDS, KEPT_OUT_SECONDS_MAX = 10, 300


@dataclass(frozen=True)
class Ending:
    """Sessions of one project that were ended for one cause. reason: of the last one, in words."""

    project_id: str
    name: str
    cause: str
    ended: int
    first_at: datetime
    last_at: datetime
    reason: str

    @property
    def done(self) -> str:
        """Return what was done to them, in a word."""
        return "lowered" if self.cause == "cpu" else "ended"


@dataclass(frozen=True)
class Letter:
    """Whom to write about a project. count: how many sessions were ended, since the first."""

    email: str
    name: str
    project: str
    reason: str
    ended: int


def count(tx: Transaction, project: str, cause: str, ended: int, reason: str) -> bool:
    """Add sessions that were ended; return whether the owner has not been written about this cause for an hour.

    Whoever is told so writes: the next who asks within the hour is told no.
    """
    values = {"project": project, "cause": cause, "ended": ended, "reason": reason}
    return bool(tx.value(SQL.count, values))


def recent(tx: Transaction, minutes: int) -> list[Ending]:
    """Return what was ended in the last minutes, the newest first."""
    return tx.all(Ending, SQL.recent, {"minutes": minutes})


def totals(tx: Transaction) -> dict[str, int]:
    """Return how many sessions were ever ended, by cause."""
    return {row["cause"]: row["ended"] for row in tx.rows(SQL.totals)}


def claim_letter(tx: Transaction, project: str, cause: str, job: str) -> Letter | None:
    """Return whom this job is to write to; None when it has done so, or there is nobody any more."""
    return tx.one(Letter, SQL.claim_letter, {"project": project, "cause": cause, "job": job})


def owners(tx: Transaction) -> dict[str, str]:
    """Return the owner of each project that is not deleted."""
    return {row["id"]: row["owner_id"] for row in tx.rows(SQL.owners)}


def running_jobs(tx: Transaction, jobs: list[str]) -> set[tuple[str, str]]:
    """Return which of these jobs run now, each with its project."""
    return {(row["id"], row["project_id"]) for row in tx.rows(SQL.running_jobs, {"jobs": jobs})}


def keep_out(tx: Transaction, login: str, project: str) -> float:
    """Write down that a login of a project may not begin a session for a while; return for how many seconds.

    Whoever sets limits heeds it, and whoever sweeps ends it.
    """
    values = {"login": login, "project": project, "seconds": KEPT_OUT_SECONDS, "most": KEPT_OUT_SECONDS_MAX}
    return float(tx.value(SQL.keep_out, values))


def kept_out(tx: Transaction, project: str) -> frozenset[str]:
    """Return the logins of a project that are kept out now."""
    return frozenset(row["login"] for row in tx.rows(SQL.kept_out, {"project": project}))
