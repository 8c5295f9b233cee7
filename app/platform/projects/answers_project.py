"""What goes out about one project beside the project itself: its settings, its figures, its audit."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads the annotations
from typing import TYPE_CHECKING, Any

from pydantic import Field

from app.http.answers import JobOut, ResponseBody
from catalog.settings_model import ProjectSettings  # noqa: TC001 - pydantic reads the annotations
from jobs.engine.view import rfc3339

if TYPE_CHECKING:
    from catalog.audit import AuditLine


class SettingsOut(ResponseBody):
    """The settings of a project.

    version          raised by each change; 0: nothing was ever set
    applied_version  the one that its database and data API have been given
    changed          the names of those that are set, the others have their default
    secrets          which of those that are never shown are set
    """

    project_id: str
    version: int
    applied_version: int
    updated_at: datetime | None
    settings: ProjectSettings
    changed: list[str]
    secrets: dict[str, bool]


class SettingsAcceptedOut(SettingsOut):
    """Settings that a job brings to the database and the data API."""

    job: JobOut


class TablesOut(ResponseBody):
    """Tables of a schema, with their rows as the statistics estimate them."""

    name: str = Field(alias="schema")
    tables: int
    rows: int


class FilesOut(ResponseBody):
    """Files of a project's storage."""

    objects: int
    bytes: int


class ConnectionsOut(ResponseBody):
    """Sessions in a project's database. limit: null where there is none."""

    used: int
    limit: int | None


class StatsOut(ResponseBody):
    """How large a project is, and how busy."""

    database_bytes: int
    table_count: int
    tables: list[TablesOut]
    storage: FilesOut
    connections: ConnectionsOut
    last_backup: datetime | None


class AuditEntryOut(ResponseBody):
    """Who did what, when, from where."""

    at: datetime
    actor: str
    action: str
    outcome: str
    address: str | None
    request_id: str | None
    job_id: str | None
    detail: dict[str, Any]


class AuditOut(ResponseBody):
    """A page of the audit of a project."""

    audit: list[AuditEntryOut]
    next_cursor: str | None


class SealedEntryOut(AuditEntryOut):
    """A line of the whole installation's audit."""

    id: int
    owner_id: str | None
    project_id: str | None
    sealed: bool


class ChainOut(ResponseBody):
    """Where the audit's hash chain ends, and how much is not in it yet."""

    last_id: int
    link: str
    sealed_at: datetime | None
    unsealed: int
    oldest_unsealed_seconds: float | None


class SealedAuditOut(ResponseBody):
    """A page of the whole installation's audit."""

    audit: list[SealedEntryOut]
    next_cursor: str | None
    chain: ChainOut


def audit_entry_out(line: AuditLine) -> dict[str, Any]:
    """Return a line of the audit as the API shows it."""
    return {
        "at": rfc3339(line.at),
        "actor": line.actor,
        "action": line.action,
        "outcome": line.outcome,
        "address": line.address,
        "requestId": line.request_id,
        "jobId": line.job_id,
        "detail": line.detail,
    }
