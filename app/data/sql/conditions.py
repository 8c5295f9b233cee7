"""SQL of fields, filters and orders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from app.data.names import Name
from app.data.parse.terms import Field, Filter, Logic
from app.data.plan.plan import NullEmbed
from app.data.sql.fragments import Parameters, cast_type, column, compose, from_catalogue, ident, join_sql

if TYPE_CHECKING:
    from app.data.parse.terms import Operation, OrderTerm, SelectField
    from app.data.plan.plan import Where
    from app.data.plan.schema import Table

COMPARISONS = {
    "eq": sql.SQL(" = "), "neq": sql.SQL(" <> "), "gt": sql.SQL(" > "), "gte": sql.SQL(" >= "), "lt": sql.SQL(" < "),
    "lte": sql.SQL(" <= "), "like": sql.SQL(" like "), "ilike": sql.SQL(" ilike "), "match": sql.SQL(" ~ "),
    "imatch": sql.SQL(" ~* "), "cs": sql.SQL(" @> "), "cd": sql.SQL(" <@ "), "ov": sql.SQL(" && "),
    "sl": sql.SQL(" << "), "sr": sql.SQL(" >> "), "nxr": sql.SQL(" &< "), "nxl": sql.SQL(" &> "),
    "adj": sql.SQL(" -|- "), "isdistinct": sql.SQL(" IS DISTINCT FROM "),
}  # fmt: skip
SEARCHES = {
    "fts": sql.SQL(" @@ to_tsquery("), "plfts": sql.SQL(" @@ plainto_tsquery("),
    "phfts": sql.SQL(" @@ phraseto_tsquery("), "wfts": sql.SQL(" @@ websearch_to_tsquery("),
}  # fmt: skip
STATES = {
    "null": sql.SQL(" IS NULL"), "not_null": sql.SQL(" IS NOT NULL"), "true": sql.SQL(" IS TRUE"),
    "false": sql.SQL(" IS FALSE"), "unknown": sql.SQL(" IS UNKNOWN"),
}  # fmt: skip
QUANTIFIERS = {"any": sql.SQL("ANY("), "all": sql.SQL("ALL(")}
AGGREGATES = {
    "sum": sql.SQL("sum("), "avg": sql.SQL("avg("), "count": sql.SQL("count("), "max": sql.SQL("max("),
    "min": sql.SQL("min("),
}  # fmt: skip
# Their operand is a pattern, or words, and never a value of the column's domain.
AS_TEXT = frozenset({"like", "ilike", "is", "isdistinct", *SEARCHES})
DIRECTIONS = {"asc": sql.SQL(" ASC"), "desc": sql.SQL(" DESC")}
NULLS = {"nullsfirst": sql.SQL(" NULLS FIRST"), "nullslast": sql.SQL(" NULLS LAST")}
NOTHING = sql.SQL("")


def field_sql(found: Field, qualifier: Name, table: Table | None, values: Parameters) -> sql.Composable:
    """Write a column with its JSON path; what is no JSON becomes JSON first."""
    written = column(qualifier, found.name)
    if not found.path:
        return written
    known = table.columns.get(found.name) if table is not None else None
    is_json = known is not None and known.nominal in ("json", "jsonb")
    parts: list[sql.Composable] = [written if is_json else compose("to_jsonb(", written, ")")]
    for step in found.path:
        parts.append(sql.SQL("->>" if step.arrow == "->>" else "->"))
        parts.append(values.add(step.operand))
        parts.append(sql.SQL("::int") if step.index else NOTHING)
    return compose(*parts)


def where_sql(condition: Where, qualifier: Name, table: Table | None, values: Parameters) -> sql.Composable:
    """Write a condition or a tree of them."""
    if isinstance(condition, NullEmbed):
        word = sql.SQL(" IS DISTINCT FROM NULL" if condition.negated else " IS NOT DISTINCT FROM NULL")
        return compose(ident(condition.alias), word)
    if isinstance(condition, Logic):
        members = [where_sql(member, qualifier, table, values) for member in condition.members]
        inner = join_sql(" AND " if condition.operator == "and" else " OR ", members)
        return compose("NOT (" if condition.negated else "(", inner, ")")
    return _filter(condition, qualifier, table, values)


def order_sql(terms: list[OrderTerm], qualifier: Name, table: Table | None, values: Parameters) -> sql.Composable:
    """Write an ORDER BY, or nothing."""
    if not terms:
        return NOTHING
    written = [
        compose(
            field_sql(term.field, Name("", term.relation), None, values)
            if term.relation
            else field_sql(term.field, qualifier, table, values),
            DIRECTIONS.get(term.direction or "", NOTHING),
            NULLS.get(term.nulls or "", NOTHING),
        )
        for term in terms
    ]
    return compose(" ORDER BY ", join_sql(", ", written))


def select_field_sql(pick: SelectField, qualifier: Name, table: Table | None, values: Parameters) -> sql.Composable:
    """Write one column of a select list with cast, aggregate and alias."""
    if pick.aggregate and pick.field.name == "*":
        written: sql.Composable = sql.SQL("count(*)")
    elif pick.whole_row:
        written = ident(qualifier.name)
    else:
        written = field_sql(pick.field, qualifier, table, values)
        if function := _shown_by(pick, table):
            written = called_sql(function, written)
        written = cast_sql(written, pick.cast)
        if pick.aggregate:
            written = compose(AGGREGATES[pick.aggregate], written, ")")
    written = cast_sql(written, pick.aggregate_cast)
    name = shown_name(pick, table)
    return compose(written, " AS ", ident(name)) if name else written


def shown_name(pick: SelectField, table: Table | None) -> str | None:
    """Return the name that a column of a select list has to be given, or None where Postgres gives the right one."""
    if pick.alias or pick.aggregate:
        return pick.alias
    return pick.field.name if _shown_by(pick, table) else path_name(pick.field)


def _shown_by(pick: SelectField, table: Table | None) -> str | None:
    """Return the function that writes a column's domain as JSON; a path leads into what is stored."""
    if table is None or not table.casts.to_json or pick.field.path:
        return None
    return table.casts.to_json.get(pick.field.name)


def called_sql(function: str, argument: sql.Composable) -> sql.Composable:
    """Write the call of a function that the catalogue names."""
    return compose(from_catalogue(function), "(", argument, ")")


def cast_sql(written: sql.Composable, name: str | None) -> sql.Composable:
    """Write a cast, when there is one."""
    return compose("CAST(", written, " AS ", cast_type(name), ")") if name else written


def path_name(found: Field) -> str | None:
    """Name a JSON path by its last key; an index alone is named by the column."""
    if not found.path:
        return None
    keys = [step.operand for step in found.path if not step.index]
    return keys[-1] if keys else found.name


def array_literal(values: tuple[str, ...]) -> str:
    """Write texts as one array literal, which Postgres reads as an array of whatever the column is."""
    if values == ("",):
        return "{}"
    escaped = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in escaped) + "}"


def _filter(condition: Filter, qualifier: Name, table: Table | None, values: Parameters) -> sql.Composable:
    operation = condition.operation
    left = field_sql(condition.field, qualifier, table, values)
    if operation.name in SEARCHES:
        left = _searchable(condition, left, table, values)
    written = compose(left, _right(operation, values, _read_by(condition, table)))
    return compose("NOT ", written) if operation.negated else written


def _read_by(condition: Filter, table: Table | None) -> str | None:
    """Return the function that reads a value of a column's domain from text."""
    if table is None or not table.casts.from_text or condition.field.path:
        return None
    return None if condition.operation.name in AS_TEXT else table.casts.from_text.get(condition.field.name)


def _searchable(condition: Filter, left: sql.Composable, table: Table | None, values: Parameters) -> sql.Composable:
    known = table.columns.get(condition.field.name) if table is not None else None
    if known is None or (known.type == "tsvector" and not condition.field.path):
        return left
    return compose("to_tsvector(", _language(condition.operation, values), left, ")")


def _language(operation: Operation, values: Parameters) -> sql.Composable:
    return compose(values.add(operation.language), "::regconfig, ") if operation.language else NOTHING


def _right(operation: Operation, values: Parameters, function: str | None) -> sql.Composable:
    name = operation.name
    if name == "is":
        return STATES[operation.value]
    if name == "in":
        return compose(" = ANY(", _elements(function, values.add(array_literal(operation.values))), ")")
    if name in SEARCHES:
        return compose(SEARCHES[name], _language(operation, values), values.add(operation.value), ")")
    text = operation.value.replace("*", "%") if name in ("like", "ilike") else operation.value
    value = values.add(text)
    if operation.quantifier:
        return compose(COMPARISONS[name], QUANTIFIERS[operation.quantifier], _elements(function, value), ")")
    return compose(COMPARISONS[name], called_sql(function, compose(value, "::text")) if function else value)


def _elements(function: str | None, array: sql.Composable) -> sql.Composable:
    """Write an array, or the rows of its elements each read by a function."""
    if function is None:
        return array
    return compose("SELECT ", called_sql(function, compose("unnest(", array, "::text[])")))
