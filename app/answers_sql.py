"""What goes out of a project's own database."""

from __future__ import annotations

from typing import Any

from app.answers import Out


class ColumnOut(Out):
    """A column of an answer."""

    name: str
    type: str


class NoticeOut(Out):
    """Something that the server had to say."""

    severity: str
    message: str


class QueryOut(Out):
    """What a query gave: the rows of the last statement that has any, and the count of the last one."""

    columns: list[ColumnOut]
    rows: list[dict[str, Any]]
    row_count: int
    truncated: bool
    command: str
    notices: list[NoticeOut]
    duration_ms: int
