"""What goes out about backups."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads it

from app.http.answers import JobOut, ResponseBody


class BackupOut(ResponseBody):
    """A finished backup.

    files         how many files of the project's it holds; null where it was made before backups held files
    file_bytes    their bytes
    added_bytes   what their copies take up beside those of the backups before
    verify_error  what is wrong with it
    expires_at    of the last one of a deleted project
    offsite_at    since when a copy lies on another machine
    """

    id: str
    project_id: str | None
    project_name: str | None
    file: str
    format: str
    bytes: int
    sha256: str
    database_bytes: int
    files: int | None
    file_bytes: int | None
    added_bytes: int | None
    duration_ms: int
    final: bool
    key_id: str
    created_at: datetime
    finished_at: datetime
    verified_at: datetime | None
    verify_error: str | None
    restore_ms: int | None
    expires_at: datetime | None
    offsite_at: datetime | None


class BackupsOut(ResponseBody):
    """A page of backups, newest first."""

    backups: list[BackupOut]
    next_cursor: str | None


class DeletedOut(ResponseBody):
    """Deleted projects that can be brought back, each by its newest backup."""

    backups: list[BackupOut]


class BackupAcceptedOut(ResponseBody):
    """A job about a project's backups."""

    project_id: str
    job: JobOut


class ExportOut(ResponseBody):
    """The job of an export; the passphrase is in the first answer only."""

    project_id: str
    passphrase: str | None
    job: JobOut


class ReportLineOut(ResponseBody):
    """How far back a project could be brought (RPO), and how long that took when it was tried (RTO)."""

    project_id: str | None
    name: str
    status: str
    backups: int
    backup_at: datetime | None
    bytes: int | None
    files: int | None
    file_bytes: int | None
    verified_backup_at: datetime | None
    verified_at: datetime | None
    verify_error: str | None
    offsite_backup_at: datetime | None
    rpo_seconds: float | None
    rto_seconds: float | None


class ReportOut(ResponseBody):
    """The report on all projects and the platform, and the platform's own backups."""

    report: list[ReportLineOut]
    backups: list[BackupOut]
