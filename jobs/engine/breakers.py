"""Circuit breakers: while a dependency is away, the jobs that need it wait and lose no attempts.

The state is rows: what one worker learns spares all others an attempt. Which kinds need what is learnt from their
failures. Once the pause is over, one job at a time is let through; the first that succeeds closes the breaker.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.errors import Unavailable
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from datetime import datetime

    from infra.postgres.database import Database, Transaction

log = logging.getLogger(__name__)
SQL = statements(__file__)
MOST_FAILURES = 3
WINDOW_SECONDS = 120.0
PAUSE_SECONDS = 10.0


@dataclass(frozen=True)
class BreakerState:
    """A dependency that has failed lately; open: whether the jobs of these kinds wait for it."""

    dependency: str
    failures: int
    kinds: list[str]
    open_until: datetime | None
    opened_at: datetime | None
    open: bool


def count_failure(tx: Transaction, dependency: str, kind: str, *, pause_seconds: float = PAUSE_SECONDS) -> float | None:
    """Count a failure of a job; return for how many seconds its kind waits now, or None while the breaker is closed."""
    values = {"dependency": dependency, "kind": kind, "most": MOST_FAILURES}
    found = tx.value(SQL.trip, {**values, "window": WINDOW_SECONDS, "pause": pause_seconds})
    return None if found is None else float(found)


def breaker_pause(database: Database, error: Exception, kind: str) -> float | None:
    """Return for how long a job that failed so waits at no attempt's cost; None when it is a failure like any other."""
    if not isinstance(error, Unavailable) or error.dependency is None:
        return None
    try:
        with database.autocommit() as tx:
            seconds = count_failure(tx, error.dependency, kind)
    except Unavailable:
        return None
    if seconds is not None:
        log.warning("dependency away", extra={"dependency": error.dependency, "kind": kind, "delay": seconds})
    return seconds


def close_recovered(database: Database) -> int:
    """Close the breakers whose dependency is back; return how many. Raises Unavailable when Postgres is away."""
    with database.autocommit() as tx:
        return tx.execute(SQL.settle)


def states(tx: Transaction) -> list[BreakerState]:
    """Return the dependencies that have failed lately."""
    return tx.all(BreakerState, SQL.states)
