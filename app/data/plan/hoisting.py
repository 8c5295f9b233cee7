"""Aggregates in relations that are spread from one row: they are computed where the columns end up."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from app.data.errors import PgrstError
from app.data.parse.terms import Field

if TYPE_CHECKING:
    from app.data.parse.terms import SelectField
    from app.data.plan.plan import ReadPlan

WHOLE = Field("*")


def hoist_aggregates(read: ReadPlan) -> None:
    """Give each aggregate to the nearest relation that is no part of another's row. Raises PgrstError (PGRST127)."""
    for child in read.children:
        hoist_aggregates(child)
    lifted = any(child.lifted for child in read.children if child.is_lifted)
    if read.aggregates_rows and (lifted or any(pick.aggregate for pick in read.picks)):
        raise PgrstError(
            "PGRST127",
            "Feature not implemented",
            "Aggregates are not implemented for one-to-many or many-to-many spreads.",
        )
    if not read.is_lifted:
        return
    read.picks = [_given_up(read, pick) if pick.aggregate else pick for pick in read.picks]
    for child in read.children:
        if child.is_lifted:
            read.lifted |= child.lifted
            child.lifted = {}


def _given_up(read: ReadPlan, pick: SelectField) -> SelectField:
    """Return the plain column that an aggregate is over, and note the aggregate. What is counted is a row, if any."""
    name = pick.alias or pick.aggregate or ""
    read.lifted[name] = replace(pick, alias=name)
    return replace(pick, alias=name, aggregate=None, aggregate_cast=None, whole_row=pick.field == WHOLE)
