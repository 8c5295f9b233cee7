"""Bodies of the routes about migrations."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from app.http.models import RequestBody, Title

LONGEST_SQL = 500_000


def _sql(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


class NewMigration(RequestBody):
    """A migration that is to be applied. rerun: although an earlier try may have been half applied."""

    # The engine of these patterns takes $ as the very end, a newline before it included.
    version: str = Field(pattern=r"^[0-9]{1,20}$")
    name: Title
    sql: Annotated[str, AfterValidator(_sql), Field(min_length=1, max_length=LONGEST_SQL)]
    timeout_ms: int = Field(60_000, ge=100, le=3_600_000)
    rerun: bool = False
