"""Retention: removes what has been kept long enough, a bounded batch at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog import job_secrets, secrets
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from psycopg import sql

    from config.settings import Settings
    from infra.postgres.database import Database

SQL = statements(__file__)
# Small enough that a batch holds its locks for milliseconds.
MOST_ROWS = 1000


class Pruner:
    """Several may run: they delete the same old rows."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    def run_once(self) -> int:
        """Delete one batch of each sort; return how many rows went. Raises Unavailable when Postgres is away."""
        jobs = {"days": self._settings.keep_jobs_days, "most": MOST_ROWS}
        events = {"days": self._settings.keep_events_days, "most": MOST_ROWS}
        batches: tuple[tuple[sql.SQL, dict[str, int] | dict[str, str]], ...] = (
            (SQL.events, events),
            (SQL.jobs, jobs),
            (SQL.idempotency_keys, jobs),
            (SQL.workers, {}),
            (SQL.resources, {}),
            (SQL.refresh_tokens, {}),
            (SQL.failed_logins, {}),
            (SQL.job_secrets, {"scope": secrets.PLATFORM, "prefix": job_secrets.PREFIX}),
            (SQL.one_time_tokens, {}),
            (SQL.expired_mails, {}),
            (SQL.mails, jobs),
            (SQL.slots, jobs),
            (SQL.void_mails, {"most": MOST_ROWS}),
            (SQL.asked_mail_jobs, {"most": MOST_ROWS}),
        )
        count = 0
        for statement, values in batches:
            with self._database.autocommit() as tx:
                count += tx.execute(statement, values)
        return count
