"""What a step's failure means: whether trying again may help, and what may be said of it."""

from __future__ import annotations

import psycopg

from infra import exhaustion
from infra.errors import Refused, Unavailable
from jobs.errors import JobError


def is_transient(error: Exception) -> bool:
    """Say whether something outside was away, or this process had run out of something."""
    return isinstance(error, (Unavailable, psycopg.OperationalError, OSError)) or exhaustion.tells(error)


def describe(error: Exception) -> str:
    """Say what went wrong in words that hold no statement, address or secret."""
    if isinstance(error, (Unavailable, Refused, JobError)):
        return str(error) or type(error).__name__
    if exhaustion.tells(error):
        return exhaustion.shortage(error)
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        return f"Postgres refused: {error.diag.message_primary} ({error.sqlstate})"
    return f"unexpected {type(error).__name__}; the worker's log has the details"
