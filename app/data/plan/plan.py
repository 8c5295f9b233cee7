"""From a query to a tree of reads: every name is looked up, every embedded relation finds its relationship."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from app.data.errors import PgrstError
from app.data.names import Name
from app.data.parse.terms import (
    ALL,
    Condition,
    Field,
    Filter,
    Logic,
    OrderTerm,
    Query,
    RowRange,
    SelectField,
    SelectRelation,
)
from app.data.plan.embedding import find_relationship
from app.data.plan.schema import NO_CASTS
from app.data.plan.similar import NAMES_SCORE, most_similar

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.data.parse.terms import Path
    from app.data.plan.relationships import Relationship
    from app.data.plan.schema import SchemaCache, Table

SOURCE = "pgrst_source"
T = TypeVar("T")


@dataclass(frozen=True)
class NullEmbed:
    """A filter on whether an embedded relation has rows at all."""

    alias: str
    negated: bool


Where: TypeAlias = "Condition | NullEmbed | Logic"


@dataclass
class ReadPlan:
    """One relation to be read, with the relations embedded in it."""

    table: Name
    source: Name
    name: str
    depth: int = 0
    alias: str | None = None
    shown: str | None = None
    hint: str | None = None
    join: str | None = None
    spread: bool = False
    picks: list[SelectField] = field(default_factory=list)
    where: list[Where] = field(default_factory=list)
    order: list[OrderTerm] = field(default_factory=list)
    window: RowRange = ALL
    relationship: Relationship | None = None
    parent: Name | None = None
    aggregate_alias: str = ""
    # Aggregates over its columns that the relation it is spread into computes, by the columns' names here.
    lifted: dict[str, SelectField] = field(default_factory=dict)
    children: list[ReadPlan] = field(default_factory=list)

    @property
    def label(self) -> str:
        """Name the key that the embedded rows appear under."""
        return self.shown or self.name

    @property
    def qualifier(self) -> Name:
        """Name what the columns of this relation are written with."""
        return Name("", self.alias) if self.alias else self.source

    @property
    def aggregates_rows(self) -> bool:
        """Return whether it is spread from many rows, so that each of its columns becomes an array."""
        return self.spread and self.relationship is not None and not self.relationship.to_one

    @property
    def is_lifted(self) -> bool:
        """Return whether it is spread from one row, so that its columns are those of the relation it is spread into."""
        return self.spread and self.relationship is not None and self.relationship.to_one


@dataclass(frozen=True)
class PlanRules:
    """What the configuration says about planning."""

    max_rows: int | None
    aggregates: bool
    target_names: bool


def read_plan(table: Name, query: Query, cache: SchemaCache, rules: PlanRules, *, through_source: bool) -> ReadPlan:
    """Plan the reading part of a request; `through_source` reads what a mutation or function returned.

    Raises PgrstError when the query names what is not there.
    """
    root = _grown(ReadPlan(table, table, table.name), query.select)
    _place(root, query.filters, _add_filter, rules)
    _place(root, query.logic, _add_filter, rules)
    _place(root, query.orders, _set_order, rules)
    _place(root, tuple(query.windows.items()), _set_window, rules)
    if through_source:
        root.source, root.alias = Name("", SOURCE), table.name
    _relate(root, cache, table.schema)
    aggregates = _aggregates(root)
    if aggregates and not rules.aggregates:
        raise PgrstError("PGRST123", "Use of aggregate functions is not allowed")
    _finish(root, rules, cache)
    if aggregates:
        _hoist_aggregates(root)
    return root


def find_table(table: Name, cache: SchemaCache) -> Table:
    """Return an exposed relation. Raises PgrstError (PGRST205)."""
    found = cache.tables.get(table)
    if found is None:
        hint = _nearest(table, cache)
        raise PgrstError(
            "PGRST205", f"Could not find the table '{table.schema}.{table.name}' in the schema cache", None, hint
        )
    return found


def _nearest(table: Name, cache: SchemaCache) -> str | None:
    names = [each.name for each in cache.tables if each.schema == table.schema]
    close = most_similar(table.name, names, NAMES_SCORE) if len(names) < 500 else None
    return f"Perhaps you meant the table '{table.schema}.{close}'" if close else None


def _grown(read: ReadPlan, items: tuple[SelectField | SelectRelation, ...]) -> ReadPlan:
    for item in items:
        if isinstance(item, SelectField):
            read.picks.append(item)
            continue
        table = Name(read.table.schema, item.name)
        child = ReadPlan(table, table, item.name, read.depth + 1, None, item.alias, item.hint, item.join, item.spread)
        read.children.append(_grown(child, item.items))
    return read


def _place(
    root: ReadPlan, entries: tuple[tuple[Path, T], ...], put: Callable[[ReadPlan, T], None], rules: PlanRules
) -> None:
    for path, entry in entries:
        put(_at(root, path, rules), entry)


def _at(read: ReadPlan, path: Path, rules: PlanRules) -> ReadPlan:
    for name in path:
        by_label = [child for child in read.children if child.label == name]
        by_name = [child for child in read.children if child.name == name]
        found = by_label or (by_name if rules.target_names else [])
        if not found:
            raise _not_embedded(name, by_name)
        read = found[0]
    return read


def _not_embedded(name: str, aliased: list[ReadPlan]) -> PgrstError:
    message = f"'{name}' is not an embedded resource in this request"
    if aliased:
        details = "Target names are not allowed in filters if they have an alias"
        return PgrstError(
            "PGRST108", message, details, f"Change '{name}' to '{aliased[0].label}' in filters, orders or limits."
        )
    return PgrstError("PGRST108", message, None, f"Verify that '{name}' is included in the 'select' query parameter.")


def _add_filter(read: ReadPlan, condition: Condition) -> None:
    read.where.append(condition)


def _set_order(read: ReadPlan, terms: tuple[OrderTerm, ...]) -> None:
    read.order = list(terms)


def _set_window(read: ReadPlan, window: RowRange) -> None:
    read.window = window


def _relate(read: ReadPlan, cache: SchemaCache, schema: str) -> None:
    for child in read.children:
        origin = read.alias if read.depth == 0 and read.alias else read.table.name
        found = find_relationship(schema, origin, child.name, child.hint, cache)
        child.relationship, child.parent = found, read.qualifier
        child.aggregate_alias = f"{found.table.name}_{child.label}_{child.depth}"
        child.table = child.source = found.foreign
        if found.kind != "m2m":
            child.alias = f"{found.foreign.name}_{child.depth}"
        _relate(child, cache, schema)


def _finish(read: ReadPlan, rules: PlanRules, cache: SchemaCache, *, expands: bool = False) -> None:
    rel = read.relationship
    if rel is None or rel.kind not in ("m2o", "o2o") or rel.foreign_is_view:
        # A limit of the one row that a key leads to would keep Postgres from planning it as a join.
        read.window = read.window.limited_to(rules.max_rows)
    read.where = [_null_embeds(condition, read) for condition in read.where]
    read.order = [_related(term, read) for term in read.order]
    expands = expands or read.aggregates_rows or any(pick.aggregate for pick in read.picks)
    table = cache.tables.get(read.table)
    if expands or (table is not None and table.casts is not NO_CASTS):
        read.picks = [each for pick in read.picks for each in _expanded(pick, table)]
    for child in read.children:
        _finish(child, rules, cache, expands=expands)


def _expanded(pick: SelectField, table: Table | None) -> list[SelectField]:
    if pick.field != Field("*") or pick.aggregate or table is None:
        return [pick]
    return [SelectField(Field(name)) for name in table.columns]


def _null_embeds(condition: Where, read: ReadPlan) -> Where:
    if isinstance(condition, Logic):
        members = tuple(_null_embeds(member, read) for member in condition.members)
        return Logic(condition.operator, members, condition.negated)  # type: ignore[arg-type]
    if not isinstance(condition, Filter) or condition.field.path:
        return condition
    found = next((child for child in read.children if child.label == condition.field.name), None)
    operation = condition.operation
    if found is None or operation.name != "is" or operation.value not in ("null", "not_null"):
        return condition
    negated = operation.negated != (operation.value == "not_null")
    return NullEmbed(found.aggregate_alias, negated)


def _related(term: OrderTerm, read: ReadPlan) -> OrderTerm:
    if term.relation is None:
        return term
    found = next((child for child in read.children if child.label == term.relation), None)
    if found is None or found.relationship is None:
        raise _not_embedded(term.relation, [])
    if not found.relationship.to_one:
        raise PgrstError(
            "PGRST118",
            f"A related order on '{found.label}' is not possible",
            f"'{read.table.name}' and '{found.label}' do not form a many-to-one or one-to-one relationship",
        )
    return OrderTerm(term.field, term.direction, term.nulls, found.aggregate_alias)


def _hoist_aggregates(read: ReadPlan) -> None:
    """Give each aggregate to the nearest relation that is no part of another's row. Raises PgrstError (PGRST127)."""
    for child in read.children:
        _hoist_aggregates(child)
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
    return replace(pick, alias=name, aggregate=None, aggregate_cast=None, whole_row=pick.field == Field("*"))


def _aggregates(read: ReadPlan) -> bool:
    return any(pick.aggregate for pick in read.picks) or any(_aggregates(child) for child in read.children)
