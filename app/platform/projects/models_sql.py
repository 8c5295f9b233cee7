"""What comes in to a project's own database: a query, and extensions by name."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from app.http.models import RequestBody


class NewQuery(RequestBody):
    """SQL that is to run as the project's owner. params stand for $1, $2, … of a single statement."""

    query: str = Field(min_length=1)
    params: Annotated[list[Any], Field(max_length=1000)] | None = None
    read_only: bool = False
    timeout_ms: int | None = Field(None, ge=1)


class NewExtension(RequestBody):
    """An extension that is wanted."""

    name: str = Field(min_length=1, max_length=63)


class ExtensionRemoval(NewExtension):
    """An extension that is no longer wanted. cascade: with everything that depends on it."""

    cascade: bool = False
