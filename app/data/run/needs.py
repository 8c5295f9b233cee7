"""How much of the schema a request is planned against."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.data.parse import request as requests
from app.data.parse.terms import SelectRelation
from app.data.plan import schema

if TYPE_CHECKING:
    from app.data.parse.request import Request


def needed_parts(request: Request) -> frozenset[str]:
    """Return the parts of the schema cache that a request is planned against, beyond the relations."""
    parts = set()
    if request.resource != requests.TABLE:
        parts.add(schema.ROUTINES)
    if request.resource == requests.ROOT or any(isinstance(item, SelectRelation) for item in request.query.select):
        parts.add(schema.LINKS)
    return frozenset(parts)
