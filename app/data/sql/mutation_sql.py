"""SQL of inserts, updates and deletes: rows come from one JSON parameter, conditions from the query string."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

from app.data.errors import PgrstError
from app.data.names import Name
from app.data.parse.terms import Operation
from app.data.plan.schema import NO_CASTS
from app.data.sql.conditions import NOTHING, called_sql, where_sql
from app.data.sql.fragments import Parameters, column, compose, from_catalogue, ident, join_sql, qualified

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.data.parse.body import Payload
    from app.data.parse.request import Request
    from app.data.parse.terms import Condition
    from app.data.plan.plan import ReadPlan
    from app.data.plan.schema import Column, Table

BODY = Name("", "pgrst_body")


@dataclass(frozen=True)
class Mutation:
    """What is to be changed, checked against the table."""

    table: Table
    columns: tuple[Column, ...]
    payload: Payload | None
    where: tuple[Condition, ...]
    returning: tuple[str, ...]
    conflict: tuple[str, ...] | None
    resolution: str | None
    defaults: bool
    single: bool


def plan_mutation(request: Request, table: Table, read: ReadPlan) -> Mutation:
    """Check a mutation against its table. Raises PgrstError: PGRST204 an unknown column, PGRST105 a bad PUT."""
    query, prefer = request.query, request.preferences
    where = [condition for path, condition in (*query.filters, *query.logic) if not path]
    if request.method == "PUT":
        _check_put(request, table)
    names = request.payload.keys if request.payload is not None else ()
    single = request.method == "PUT"
    resolution = "merge-duplicates" if single else prefer.resolution
    conflict = table.key if single else (query.on_conflict or table.key)
    return Mutation(
        table,
        tuple(_column(table, name) for name in names),
        request.payload,
        tuple(where),
        _returning(read, table, prefer.returning),
        conflict if resolution and request.method in ("POST", "PUT") else None,
        resolution,
        prefer.missing == "default" and not single,
        single,
    )


def mutation_sql(mutation: Mutation, method: str, values: Parameters) -> sql.Composable:
    """Write the statement."""
    if method in ("POST", "PUT"):
        return _insert(mutation, values)
    if method == "PATCH":
        return _update(mutation, values)
    table = mutation.table.name
    return compose("DELETE FROM ", qualified(table), _where(mutation, table, values), _returned(mutation))


def _check_put(request: Request, table: Table) -> None:
    filters = [entry for path, entry in request.query.filters if not path]
    plain = all(entry.operation == Operation("eq", entry.operation.value) and not entry.field.path for entry in filters)
    names = {entry.field.name for entry in filters}
    if not table.key or request.query.logic or not plain or names != set(table.key) or len(filters) != len(names):
        raise PgrstError("PGRST105", "Filters must include all and only primary key columns with 'eq' operators")


def _column(table: Table, name: str) -> Column:
    found = table.columns.get(name)
    if found is None:
        raise PgrstError("PGRST204", f"Could not find the '{name}' column of '{table.name.name}' in the schema cache")
    return found


def _returning(read: ReadPlan, table: Table, wanted: str | None) -> tuple[str, ...]:
    if wanted not in ("representation", "headers-only"):
        return ()
    names = {pick.field.name for pick in read.picks}
    if any(child.relationship is not None and child.relationship.kind == "computed" for child in read.children):
        return ("*",)
    if "*" in names:
        return ("*",)
    for child in read.children:
        if child.relationship is not None:
            rel = child.relationship
            names |= {own for own, _ in (rel.junction_source if rel.junction is not None else rel.pairs)}
    return tuple(sorted(names | set(table.key)))


def _insert(mutation: Mutation, values: Parameters) -> sql.Composable:
    names = join_sql(", ", [ident(each.name) for each in mutation.columns])
    columns = compose("(", names, ") ") if mutation.columns else sql.SQL(" ")
    selected = join_sql(", ", [column(BODY, each.name) for each in mutation.columns])
    guard: sql.Composable = NOTHING
    if mutation.single:
        conditions = [where_sql(condition, BODY, mutation.table, values) for condition in mutation.where]
        guard = compose(" WHERE ", _counted(inserted=True), " AND ", join_sql(" AND ", conditions))
    elif mutation.resolution == "merge-duplicates" and mutation.conflict is not None:
        guard = compose(" WHERE ", _counted(inserted=True))
    return compose(
        "INSERT INTO ", qualified(mutation.table.name), columns, "SELECT ", selected, " ",
        _rows(mutation, values, one=False), guard, _on_conflict(mutation), _returned(mutation),
    )  # fmt: skip


def _update(mutation: Mutation, values: Parameters) -> sql.Composable:
    table = mutation.table.name
    if not mutation.columns:
        names = [column(Name("", table.name), name) for name in mutation.returning] or [sql.SQL("NULL")]
        return compose("SELECT ", join_sql(", ", names), " FROM ", qualified(table), " WHERE false")
    assignments = [compose(ident(each.name), " = ", column(BODY, each.name)) for each in mutation.columns]
    return compose(
        "UPDATE ", qualified(table), " SET ", join_sql(", ", assignments), " ",
        _rows(mutation, values, one=False), _where(mutation, table, values), _returned(mutation),
    )  # fmt: skip


def _where(mutation: Mutation, table: Name, values: Parameters) -> sql.Composable:
    conditions = [where_sql(condition, table, mutation.table, values) for condition in mutation.where]
    return compose(" WHERE ", join_sql(" AND ", conditions)) if conditions else NOTHING


def _returned(mutation: Mutation) -> sql.Composable:
    if not mutation.returning:
        return sql.SQL(" RETURNING 1")
    return compose(" RETURNING ", join_sql(", ", [column(mutation.table.name, name) for name in mutation.returning]))


def _on_conflict(mutation: Mutation) -> sql.Composable:
    if not mutation.conflict:
        return NOTHING
    target = compose(" ON CONFLICT (", join_sql(", ", [ident(name) for name in mutation.conflict]), ") ")
    if mutation.resolution == "ignore-duplicates" or not mutation.columns:
        return compose(target, "DO NOTHING")
    taken = [compose(ident(each.name), " = EXCLUDED.", ident(each.name)) for each in mutation.columns]
    return compose(target, "DO UPDATE SET ", join_sql(", ", taken), " WHERE ", _counted(inserted=False))


def _counted(*, inserted: bool) -> sql.Composable:
    # Each candidate row adds one, each that updates instead takes one back: what is left was inserted.
    held = "(coalesce(nullif(current_setting('pgrst.inserted', true), '')::int, 0)"
    if inserted:
        return compose("set_config('pgrst.inserted', ", held, " + 1)::text, true) <> '0'")
    return compose("set_config('pgrst.inserted', ", held, " - 1)::text, true) <> '-1'")


def _rows(mutation: Mutation, values: Parameters, *, one: bool) -> sql.Composable:
    payload = mutation.payload
    if payload is None:
        return NOTHING
    is_object = payload.is_object
    source: sql.Composable = sql.SQL("pgrst_payload.json_data")
    defaults: sql.Composable = NOTHING
    if mutation.defaults:
        defaults, source = _defaults(mutation, values, is_object=is_object), sql.SQL("pgrst_json_defs.val")
    return compose(
        "FROM (SELECT ", values.add(payload.text), sql.SQL("::jsonb" if mutation.defaults else "::json"),
        " AS json_data) pgrst_payload, ", defaults, "LATERAL (",
        rows_from_json(
            mutation.columns, source, is_object=is_object, binary=mutation.defaults, one=one,
            casts=mutation.table.casts.from_json,
        ),
        ") pgrst_body",
    )  # fmt: skip


def rows_from_json(
    columns: tuple[Column, ...],
    source: sql.Composable,
    *,
    is_object: bool,
    binary: bool,
    one: bool,
    casts: Mapping[str, str] = NO_CASTS.from_json,
) -> sql.Composable:
    """Write the SELECT that reads rows with typed columns out of JSON. casts: the functions that read a domain."""
    kind = sql.SQL("jsonb" if binary else "json")
    limit = sql.SQL(" LIMIT 1") if one else NOTHING
    if not columns:
        if is_object:
            return sql.SQL("SELECT FROM (VALUES (1)) _")
        return compose("SELECT FROM ", kind, "_array_elements(", source, ") _")
    names = join_sql(", ", [_read_name(each.name, casts) for each in columns])
    types = ((each.name, "json" if each.name in casts else each.nominal) for each in columns)
    typed = join_sql(", ", [compose(ident(name), " ", from_catalogue(nominal)) for name, nominal in types])
    function = sql.SQL("_to_record(" if is_object else "_to_recordset(")
    return compose("SELECT ", names, " FROM ", kind, function, source, ") AS _(", typed, ")", limit)


def _read_name(name: str, casts: Mapping[str, str]) -> sql.Composable:
    written = ident(name)
    return compose(called_sql(casts[name], written), " AS ", written) if name in casts else written


def _defaults(mutation: Mutation, values: Parameters, *, is_object: bool) -> sql.Composable:
    pairs = [
        compose(values.add(each.name), "::text, ", from_catalogue(each.default))
        for each in mutation.columns
        if each.default is not None
    ]
    built = compose("jsonb_build_object(", join_sql(", ", pairs), ")")
    if is_object:
        return compose("LATERAL (SELECT ", built, " || pgrst_payload.json_data AS val) pgrst_json_defs, ")
    return compose(
        "LATERAL (SELECT jsonb_agg(", built,
        " || elem) AS val FROM jsonb_array_elements(pgrst_payload.json_data) elem) pgrst_json_defs, ",
    )  # fmt: skip
