"""Answers of the routes about migrations."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads the annotations
from typing import Literal

from app.http.answers import JobOut, ResponseBody


class MigrationOut(ResponseBody):
    """A migration that an owner has sent. drift: in what the record in the project's database differs, in words."""

    version: str
    name: str
    status: Literal["queued", "running", "applied", "failed", "doubtful"]
    checksum: str
    transactional: bool
    job_id: str | None
    created_at: datetime
    applied_at: datetime | None
    drift: str | None = None


class MigrationsOut(ResponseBody):
    """A project's migrations by version.

    drift_checked  whether the records in its database could be read
    unknown        versions that are recorded there and did not come this way
    """

    migrations: list[MigrationOut]
    drift_checked: bool
    unknown: list[str]


class MigrationAcceptedOut(ResponseBody):
    """A migration that waits for its turn, or is applied already: then there is no job."""

    migration: MigrationOut
    job: JobOut | None
