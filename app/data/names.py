"""A name in a schema."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Name:
    """A name in a schema; an empty schema means a name of the statement itself."""

    schema: str
    name: str
