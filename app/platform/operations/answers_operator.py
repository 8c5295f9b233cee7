"""What operators are answered about schedules and databases."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads it
from typing import Literal

from app.http.answers import JobOut, ResponseBody


class LastJobOut(ResponseBody):
    """The newest job of a schedule."""

    id: str
    status: str
    finished_at: datetime | None


class ScheduleOut(ResponseBody):
    """A schedule. next: its next three times; reason: why it cannot fire."""

    name: str
    kind: str
    cron: str
    timezone: str
    enabled: bool
    catch_up: str
    jitter_seconds: int
    overlap: str
    next: list[datetime]
    last_slot: datetime | None
    last_job: LastJobOut | None
    reason: str | None


class SchedulesOut(ResponseBody):
    """All schedules."""

    schedules: list[ScheduleOut]


class DatabaseOut(ResponseBody):
    """A database and its size, in bytes and in words."""

    name: str
    bytes: int
    size: str
    project_id: str | None
    project_name: str | None


class DatabasesOut(ResponseBody):
    """All databases, the largest first."""

    databases: list[DatabaseOut]


class WantsAttentionOut(ResponseBody):
    """What is wrong, of what, why, and which job to look at."""

    what: str
    subject: str | None
    detail: str | None
    see: str | None


class AttentionOut(ResponseBody):
    """What somebody should look at, the weightiest first."""

    attention: list[WantsAttentionOut]


class FindingOut(ResponseBody):
    """What a check saw. fixable: a job can mend it."""

    check: str
    status: Literal["ok", "info", "warning", "failure"]
    evidence: str
    remedy: str
    fixable: bool
    subject: str


class DoctorOut(ResponseBody):
    """What every check saw."""

    findings: list[FindingOut]


class FixOut(ResponseBody):
    """The jobs that were begun."""

    jobs: list[JobOut]


class ConnectionsOut(ResponseBody):
    """Where Postgres's connections go."""

    max: int
    reserved: int
    direct: int
    pools: int
    reserves: int
    in_use: int
    room: int
    proposal: int


class StorageOut(ResponseBody):
    """What the databases take, and what is planned."""

    database_bytes: int
    planned_gb: float
    advice_from_gb: int
    advice_to_gb: int


class CapacityOut(ResponseBody):
    """What fits on this server."""

    projects: int
    pool_size: int
    pooler: bool
    connections: ConnectionsOut
    memory_mb: int
    storage: StorageOut


class PoolsOut(ResponseBody):
    """The size of all pools, how many were changed, and the jobs that bring them."""

    pool_size: int
    changed: int
    jobs: list[str]
