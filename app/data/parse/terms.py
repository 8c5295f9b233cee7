"""What a query string means, as plain values: select items, filters, logic and order terms."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeAlias


@dataclass(frozen=True)
class JsonStep:
    """One `->` or `->>` of a path; `index` marks a position in an array."""

    arrow: str
    operand: str
    index: bool = False


@dataclass(frozen=True)
class Field:
    """A column, with the path into its JSON."""

    name: str
    path: tuple[JsonStep, ...] = ()


@dataclass(frozen=True)
class SelectField:
    """A column in a select list; whole_row: the row itself, which is null where there is none."""

    field: Field
    alias: str | None = None
    cast: str | None = None
    aggregate: str | None = None
    aggregate_cast: str | None = None
    whole_row: bool = False


@dataclass(frozen=True)
class SelectRelation:
    """An embedded relation in a select list; `spread` lifts its columns into the parent."""

    name: str
    items: tuple[SelectItem, ...]
    alias: str | None = None
    hint: str | None = None
    join: str | None = None
    spread: bool = False


SelectItem: TypeAlias = SelectField | SelectRelation


@dataclass(frozen=True)
class Operation:
    """One operator with its operand: a text, or the list of `in`."""

    name: str
    value: str = ""
    values: tuple[str, ...] = ()
    negated: bool = False
    quantifier: str | None = None
    language: str | None = None


@dataclass(frozen=True)
class Filter:
    """A condition on one field."""

    field: Field
    operation: Operation


@dataclass(frozen=True)
class Logic:
    """Conditions joined by `and` or `or`."""

    operator: str
    members: tuple[Condition, ...]
    negated: bool = False


Condition: TypeAlias = Filter | Logic


@dataclass(frozen=True)
class OrderTerm:
    """One term of an order; `relation` names the embedded relation that holds the field."""

    field: Field
    direction: str | None = None
    nulls: str | None = None
    relation: str | None = None


@dataclass(frozen=True)
class RowRange:
    """Which rows are wanted: from `offset` on, at most `limit` of them."""

    offset: int = 0
    limit: int | None = None

    @property
    def is_all(self) -> bool:
        """Return whether nothing is left out."""
        return self.offset == 0 and self.limit is None

    def limited_to(self, rows: int | None) -> RowRange:
        """Return the same window, never longer than `rows`."""
        if rows is None:
            return self
        return replace(self, limit=rows if self.limit is None else min(self.limit, rows))


ALL = RowRange()
Path: TypeAlias = tuple[str, ...]


@dataclass(frozen=True)
class Query:
    """A query string, read."""

    select: tuple[SelectItem, ...] = (SelectField(Field("*")),)
    filters: tuple[tuple[Path, Filter], ...] = ()
    logic: tuple[tuple[Path, Condition], ...] = ()
    orders: tuple[tuple[Path, tuple[OrderTerm, ...]], ...] = ()
    windows: dict[Path, RowRange] = field(default_factory=dict)
    columns: tuple[str, ...] | None = None
    on_conflict: tuple[str, ...] | None = None
    arguments: tuple[tuple[str, str], ...] = ()
    filter_names: frozenset[str] = frozenset()
    canonical: str = ""
