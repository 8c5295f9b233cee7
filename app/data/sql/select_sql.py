"""SQL of a tree of reads: one SELECT, with a lateral join for each embedded relation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from app.data.names import Name
from app.data.parse.terms import Field, Logic, OrderTerm, SelectField
from app.data.plan.plan import NullEmbed
from app.data.sql.conditions import (
    AGGREGATES,
    NOTHING,
    cast_sql,
    field_sql,
    order_sql,
    path_name,
    select_field_sql,
    shown_name,
    where_sql,
)
from app.data.sql.fragments import Parameters, column, compose, ident, join_sql, qualified

if TYPE_CHECKING:
    from app.data.plan.plan import ReadPlan, Where
    from app.data.plan.schema import SchemaCache, Table


def read_sql(read: ReadPlan, cache: SchemaCache, values: Parameters) -> sql.Composable:
    """Write the SELECT of a read and all that is embedded in it."""
    table, qualifier = cache.tables.get(read.table), read.qualifier
    picks = read.picks or ([] if read.children else [SelectField(Field("*"))])
    selected = [select_field_sql(pick, qualifier, table, values) for pick in picks]
    selected += _order_items(read, table, values) if read.aggregates_rows else []
    selected += [item for child in read.children for item in _embedded_items(child)]
    joins = [_join(child, cache, values) for child in read.children]
    return compose(
        "SELECT ",
        join_sql(", ", selected),
        _from(read),
        *joins,
        _where(read, table, values),
        _group(read, qualifier, table, values),
        order_sql([] if read.aggregates_rows else read.order, qualifier, table, values),
        _window(read, values),
    )


def count_sql(read: ReadPlan, cache: SchemaCache, values: Parameters) -> sql.Composable:
    """Write the SELECT whose rows are counted: filters only, inner joins as EXISTS."""
    conditions = [_counted(condition, read, cache, values) for condition in read.where]
    conditions += _join_conditions(read)
    conditions += [
        compose("EXISTS (", count_sql(child, cache, values), ")") for child in read.children if child.join == "inner"
    ]
    if not conditions:
        return compose("SELECT 1", _from(read))
    return compose("SELECT 1", _from(read), " WHERE ", join_sql(" AND ", conditions))


def _counted(condition: Where, read: ReadPlan, cache: SchemaCache, values: Parameters) -> sql.Composable:
    if isinstance(condition, NullEmbed):
        child = next(child for child in read.children if child.aggregate_alias == condition.alias)
        return compose(
            sql.SQL("EXISTS (" if condition.negated else "NOT EXISTS ("), count_sql(child, cache, values), ")"
        )
    if isinstance(condition, Logic):
        members = [_counted(member, read, cache, values) for member in condition.members]
        inner = join_sql(" AND " if condition.operator == "and" else " OR ", members)
        return compose("NOT (" if condition.negated else "(", inner, ")")
    return where_sql(condition, read.qualifier, cache.tables.get(read.table), values)


def _from(read: ReadPlan) -> sql.Composable:
    rel = read.relationship
    alias = compose(" AS ", ident(read.alias)) if read.alias else NOTHING
    if rel is not None and rel.function is not None and read.parent is not None:
        argument = compose(ident(read.parent.name), "::", qualified(rel.table))
        return compose(" FROM ", qualified(rel.function), "(", argument, ")", alias)
    junction = compose(", ", qualified(rel.junction)) if rel is not None and rel.junction is not None else NOTHING
    return compose(" FROM ", qualified(read.source), alias, junction)


def _join_conditions(read: ReadPlan) -> list[sql.Composable]:
    rel, parent = read.relationship, read.parent
    if rel is None or parent is None:
        return []
    if rel.junction is not None:
        ends = [(read.qualifier, pair) for pair in rel.junction_target]
        ends += [(parent, pair) for pair in rel.junction_source]
        return [compose(column(end, own), " = ", column(rel.junction, far)) for end, (own, far) in ends]
    return [compose(column(read.qualifier, far), " = ", column(parent, own)) for own, far in rel.pairs]


def _where(read: ReadPlan, table: Table | None, values: Parameters) -> sql.Composable:
    conditions = [where_sql(condition, read.qualifier, table, values) for condition in read.where]
    conditions += _join_conditions(read)
    return compose(" WHERE ", join_sql(" AND ", conditions)) if conditions else NOTHING


def _group(read: ReadPlan, qualifier: Name, table: Table | None, values: Parameters) -> sql.Composable:
    lifts = not read.is_lifted and any(child.lifted for child in read.children)
    if not lifts and not any(pick.aggregate for pick in read.picks):
        return NOTHING
    terms = []
    for pick in read.picks:
        if pick.aggregate:
            continue
        name = shown_name(pick, table)
        terms.append(ident(name) if name else field_sql(pick.field, qualifier, table, values))
    for child in read.children:
        if child.spread:
            names = [name for name in spread_names(child) if name not in child.lifted]
            terms += [column(Name("", child.aggregate_alias), name) for name in names]
        elif not _is_empty(child):
            terms.append(ident(child.label))
    return compose(" GROUP BY ", join_sql(", ", terms)) if terms else NOTHING


def _window(read: ReadPlan, values: Parameters) -> sql.Composable:
    window = read.window
    if window.is_all:
        return NOTHING
    limit = sql.SQL("ALL") if window.limit is None else values.add(str(window.limit))
    return compose(" LIMIT ", limit, " OFFSET ", values.add(str(window.offset)))


def spread_names(read: ReadPlan) -> list[str]:
    """Name the columns that a spread relation lifts into its parent."""
    names = [pick.alias or path_name(pick.field) or pick.aggregate or pick.field.name for pick in read.picks]
    for child in read.children:
        names += spread_names(child) if child.spread else ([] if _is_empty(child) else [child.label])
    return names


def _is_empty(read: ReadPlan) -> bool:
    return not read.picks and all(_is_empty(child) for child in read.children)


def _embedded_items(child: ReadPlan) -> list[sql.Composable]:
    alias = ident(child.aggregate_alias)
    if child.spread:
        return [_spread_item(child, name) for name in spread_names(child)]
    if _is_empty(child):
        return []
    if child.relationship is not None and child.relationship.to_one:
        return [compose("row_to_json(", alias, ".*)::jsonb AS ", ident(child.label))]
    return [compose("COALESCE(", alias, ".", alias, ", '[]') AS ", ident(child.label))]


def _spread_item(child: ReadPlan, name: str) -> sql.Composable:
    found = column(Name("", child.aggregate_alias), name)
    lifted = child.lifted.get(name)
    if lifted is None or lifted.aggregate is None:
        return found
    over = compose(AGGREGATES[lifted.aggregate], found, ")")
    return compose(cast_sql(over, lifted.aggregate_cast), " AS ", ident(name))


def _order_name(read: ReadPlan, number: int) -> str:
    return f"{read.aggregate_alias}_{read.order[number].field.name}_{number + 1}"


def _order_items(read: ReadPlan, table: Table | None, values: Parameters) -> list[sql.Composable]:
    """Select what the arrays of a spread are ordered by, under names that collide with nothing."""
    written: list[sql.Composable] = []
    for number, term in enumerate(read.order):
        qualifier = Name("", term.relation) if term.relation else read.qualifier
        found = field_sql(term.field, qualifier, None if term.relation else table, values)
        written.append(compose(found, " AS ", ident(_order_name(read, number))))
    return written


def _join(child: ReadPlan, cache: SchemaCache, values: Parameters) -> sql.Composable:
    alias = ident(child.aggregate_alias)
    inner = read_sql(child, cache, values)
    word = sql.SQL(" INNER JOIN LATERAL (" if child.join == "inner" else " LEFT JOIN LATERAL (")
    if child.relationship is not None and child.relationship.to_one:
        return compose(word, inner, ") AS ", alias, " ON TRUE")
    lifted: list[sql.Composable] = [NOTHING]
    if child.spread:
        terms = [
            OrderTerm(Field(_order_name(child, number)), term.direction, term.nulls)
            for number, term in enumerate(child.order)
        ]
        ordered = order_sql(terms, Name("", child.aggregate_alias), None, values)
        lifted = [
            compose(
                ", COALESCE(json_agg(",
                column(Name("", child.aggregate_alias), name),
                ordered,
                "), '[]')::jsonb AS ",
                ident(name),
            )
            for name in spread_names(child)
        ]
    condition = compose(alias, " IS NOT NULL") if child.join == "inner" else sql.SQL("TRUE")
    gathered = compose("SELECT json_agg(", alias, ")::jsonb AS ", alias, *lifted, " FROM (", inner, ") AS ", alias)
    return compose(word, gathered, ") AS ", alias, " ON ", condition)
