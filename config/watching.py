"""The settings of the watchdog: what a project, or all projects of an owner, may hold of the one server they share."""

from __future__ import annotations

from pydantic import BaseModel

from config.deployment import env


class WatchdogSettings(BaseModel):
    """What is ended by our own clock, whatever a tenant's session has set for itself."""

    watchdog_seconds: float = env(
        "WATCHDOG_SECONDS", 2.0, "interval at which sessions of projects are looked at", gt=0, le=60
    )
    watchdog_grace_seconds: float = env(
        "WATCHDOG_GRACE_SECONDS",
        5.0,
        "how long after the server's own time-out a session that has lifted it is ended",
        ge=0,
        le=3600,
    )
    project_locks_percent: int = env(
        "PROJECT_LOCKS_PERCENT", 20, "share of the server's lock table that one project's sessions hold", ge=1, le=100
    )
    project_cpu_percent: int = env(
        "PROJECT_CPU_PERCENT",
        25,
        "share of the processors beyond which a project's sessions step back behind others",
        ge=1,
        le=100,
    )
    owner_share_percent: int = env(
        "OWNER_SHARE_PERCENT",
        50,
        "share of the lock table, and of connections while those are short, that all projects of one owner hold",
        ge=1,
        le=100,
    )
    notify_queue_percent: float = env(
        "NOTIFY_QUEUE_PERCENT", 10.0, "how full the queue of NOTIFY is before who holds it up is ended", gt=0, le=90
    )
    autovacuum_seconds: float = env(
        "PROJECT_AUTOVACUUM_SECONDS",
        30.0,
        "how long an autovacuum worker runs functions that a project has put into its indexes",
        gt=0,
        le=3600,
    )
    project_session_mb: int = env(
        "PROJECT_SESSION_MB", 512, "memory of its own that one session of a project takes", ge=64, le=1_048_576
    )
    owner_sessions_mb: int = env(
        "OWNER_SESSIONS_MB", 1536, "memory that all sessions of one owner's projects take", ge=64, le=1_048_576
    )
    postgres_backend_mb: int = env(
        "POSTGRES_BACKEND_MB",
        1024,
        "memory that one process of Postgres takes; its statement fails that wants more",
        ge=256,
        le=1_048_576,
    )
