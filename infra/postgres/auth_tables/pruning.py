"""Old rows of a project's Auth: what nobody can sign in with, refresh or answer any more, and entries of its audit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg

from infra.postgres.database import is_transient
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.postgres.tenant_session import TenantSession

SQL = statements(__file__)
# Small enough that a batch holds its locks for milliseconds; an owner's trigger may write anew what goes.
MOST_ROWS, MOST_BATCHES = 1000, 5000
# Tokens go after the sessions that take theirs along.
TABLES = (
    "sessions", "refresh_tokens", "one_time_tokens", "flow_state", "oauth_client_states", "mfa_challenges",
    "webauthn_challenges", "audit_log_entries",
)  # fmt: skip
# For so long what has ended is told from what never was.
GRACE = timedelta(days=1)


@dataclass(frozen=True)
class Lifetimes:
    """How long rows are good for.

    session   a token of a session, whichever lives longer: to refresh it, or to ask with
    one_time  links and codes of letters
    audit     entries of the audit
    """

    session: timedelta
    one_time: timedelta
    audit: timedelta


def prune(session: TenantSession, lifetimes: Lifetimes, check: Callable[[], None]) -> tuple[dict[str, int], list[str]]:
    """Delete old rows, batch after batch; return how many went of each table, and the tables that refused.

    session  as the project's Auth login, each statement a transaction of its own
    check    called before each batch; may raise to break off

    Raises psycopg.Error when the server is away.
    """
    values = {
        "lives": lifetimes.session,
        "one_time": lifetimes.one_time,
        "audit": lifetimes.audit,
        "grace": GRACE,
        "most": MOST_ROWS,
    }
    deleted: dict[str, int] = {}
    refused: list[str] = []
    for table in TABLES:
        try:
            deleted[table] = _emptied(session, table, values, check)
        except psycopg.Error as error:
            # What an owner put there may raise whatever its author likes.
            if session.closed or is_transient(error):
                raise
            refused.append(table)
    return deleted, refused


def _emptied(session: TenantSession, table: str, values: dict[str, object], check: Callable[[], None]) -> int:
    count = 0
    for _ in range(MOST_BATCHES):
        check()
        gone = session.execute(getattr(SQL, table), values).rowcount
        count += gone
        if gone <= 0:
            break
    return count
