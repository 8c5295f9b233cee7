"""What goes out of a project's own database."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from app.http.answers import ResponseBody


class ColumnOut(ResponseBody):
    """A column of an answer."""

    name: str
    type: str


class NoticeOut(ResponseBody):
    """Something that the server had to say."""

    severity: str
    message: str


class QueryOut(ResponseBody):
    """What a query gave: the rows of the last statement that has any, and the count of the last one."""

    columns: list[ColumnOut]
    rows: list[dict[str, Any]]
    row_count: int
    truncated: bool
    command: str
    notices: list[NoticeOut]
    duration_ms: int


class ExtensionOut(ResponseBody):
    """An extension; reason says why it cannot be had."""

    name: str
    version: str | None
    installed: bool
    schema_: str | None = Field(alias="schema")
    available: bool
    reason: str | None


class ExtensionsOut(ResponseBody):
    """The extensions that a project may have, and those it has."""

    extensions: list[ExtensionOut]
