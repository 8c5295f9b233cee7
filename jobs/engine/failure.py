"""What a step's failure means: whether trying again may help, and what may be said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from infra import exhaustion
from infra.errors import Refused, Unavailable
from jobs.engine.errors import GiveUp, JobError

if TYPE_CHECKING:
    from collections.abc import Callable


def is_transient(error: Exception) -> bool:
    """Return whether something outside was away, or this process had run out of something."""
    return isinstance(error, (Unavailable, psycopg.OperationalError, OSError)) or exhaustion.is_shortage(error)


def describe(error: Exception) -> str:
    """Return what went wrong in words that hold no statement, address or secret."""
    if isinstance(error, (Unavailable, Refused, JobError)):
        return str(error) or type(error).__name__
    if exhaustion.is_shortage(error):
        return exhaustion.shortage(error)
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        return f"Postgres refused: {error.diag.message_primary} ({error.sqlstate})"
    return f"unexpected {type(error).__name__}; the worker's log has the details"


def as_problem(error: Exception, step: str, *, retryable: bool, scrub: Callable[[str], str]) -> dict[str, Any]:
    """Return a failure as the member `error` of a job. step: the one at hand, empty before the first."""
    return {
        "type": f"urn:launchdb:job:{type(error).__name__.lower()}",
        "title": "The step could not be done" if step else "The job could not be run",
        "detail": scrub(describe(error)),
        "step": step or None,
        "retryable": retryable,
        **(error.facts if isinstance(error, GiveUp) else {}),
    }
