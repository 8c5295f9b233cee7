"""One statement for one request: the work in a CTE, its rows made JSON (or CSV) by Postgres, and the counts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from psycopg import sql

from app.data.names import Name
from app.data.parse import media
from app.data.parse.request import ROUTINE
from app.data.parse.terms import Filter, Logic
from app.data.plan.plan import PlanRules, ReadPlan, find_table, read_plan
from app.data.sql.fragments import Parameters, compose, join_sql
from app.data.sql.mutation_sql import Mutation, mutation_sql, plan_mutation
from app.data.sql.rpc_sql import Call, call_sql, plan_call
from app.data.sql.select_sql import count_sql, read_sql

if TYPE_CHECKING:
    from app.data.config import DataConfig
    from app.data.parse.media import Media
    from app.data.parse.request import Request
    from app.data.plan.plan import Where
    from app.data.plan.schema import Routine, SchemaCache, Table

SETTINGS = sql.SQL(
    # No more of them than it takes to see that they are too long.
    "pg_catalog.left(nullif(current_setting('response.headers', true), ''), 65536) AS response_headers, "
    "pg_catalog.left(nullif(current_setting('response.status', true), ''), 16) AS response_status, "
)
INSERTED = sql.SQL("nullif(current_setting('pgrst.inserted', true), '') AS response_inserted")
NOT_INSERTED = sql.SQL("NULL AS response_inserted")
CSV = sql.SQL(
    "(SELECT coalesce(string_agg(a.k, ','), '') FROM (SELECT json_object_keys(r)::text AS k FROM "
    "(SELECT row_to_json(hh) AS r FROM pgrst_source AS hh LIMIT 1) s) a) || E'\\n' || "
    "coalesce(string_agg(substring(_postgrest_t::text, 2, length(_postgrest_t::text) - 2), E'\\n'), '')"
)
EMPTY = sql.SQL("''::text")
TOO_LARGE = "launchdb answer of bytes: "


@dataclass(frozen=True)
class PlannedStatement:
    """A planned request: the statement and what its answer depends on."""

    text: sql.Composable
    values: dict[str, object]
    media: Media
    writes: bool
    table: Table | None = None
    mutation: Mutation | None = None
    routine: Routine | None = None
    count: tuple[sql.Composed, dict[str, object]] | None = None


def plan(request: Request, cache: SchemaCache, config: DataConfig) -> PlannedStatement:
    """Plan a request against the schema cache. Raises PgrstError."""
    if request.resource == ROUTINE:
        return _routine(request, cache, config)
    table = find_table(request.target, cache)
    if request.is_read:
        return _read(request, table, cache, config)
    return _write(request, table, cache, config)


def plan_rules(config: DataConfig, *, limited: bool = True) -> PlanRules:
    """Return what the configuration says about planning."""
    return PlanRules(
        config.db_max_rows if limited else None, config.db_aggregates_enabled, config.url_use_legacy_target_names
    )


def _read(request: Request, table: Table, cache: SchemaCache, config: DataConfig) -> PlannedStatement:
    values = Parameters()
    read = read_plan(table.name, request.query, cache, plan_rules(config), through_source=False)
    wanted = media.negotiate(request.accepts)
    request.preferences.check()
    source = read_sql(read, cache, values)
    counting, total = _count(request, read, cache, config, values)
    body = EMPTY if request.method == "HEAD" else _body(wanted, None)
    answer = compose(
        "SELECT ", total, " AS total_result_set, pg_catalog.count(_postgrest_t) AS page_total, ", body, " AS body, ",
        SETTINGS, NOT_INSERTED, " FROM (SELECT * FROM pgrst_source) _postgrest_t",
    )  # fmt: skip
    text = compose("WITH pgrst_source AS (", source, ")", counting, _bounded(answer, body, config))
    return PlannedStatement(text, values.held, wanted, writes=False, table=table, count=_planned(request, read, cache))


def _write(request: Request, table: Table, cache: SchemaCache, config: DataConfig) -> PlannedStatement:
    values = Parameters()
    represented = request.preferences.returning == "representation"
    unbounded = replace(request.query, windows={})
    read = read_plan(table.name, unbounded, cache, plan_rules(config, limited=False), through_source=True)
    mutation = plan_mutation(request, table, read)
    request.preferences.check()
    wanted = media.negotiate(request.accepts)
    changed = mutation_sql(mutation, request.method, values)
    read.where = [condition for condition in read.where if condition not in mutation.where]
    selected = read_sql(read, cache, values) if represented else sql.SQL("SELECT * FROM pgrst_source")
    located = request.method == "POST" and request.preferences.returning == "headers-only"
    merging = mutation.conflict is not None and mutation.resolution == "merge-duplicates"
    body = _body(wanted, None) if represented else EMPTY
    answer = compose(
        "SELECT ", _location(table, values) if located else sql.SQL("NULL"),
        " AS total_result_set, pg_catalog.count(_postgrest_t) AS page_total, ", body, " AS body, ", SETTINGS,
        INSERTED if merging else NOT_INSERTED, " FROM (", selected, ") _postgrest_t",
    )  # fmt: skip
    text = compose("WITH pgrst_source AS (", changed, ")", _bounded(answer, body, config))
    return PlannedStatement(text, values.held, wanted, writes=True, table=table, mutation=mutation)


def _routine(request: Request, cache: SchemaCache, config: DataConfig) -> PlannedStatement:
    values = Parameters()
    call: Call = plan_call(request, cache)
    routine = call.routine
    target = Name(routine.name.schema, routine.table or routine.name.name)
    read = read_plan(target, request.query, cache, plan_rules(config), through_source=True)
    wanted = media.negotiate(request.accepts)
    request.preferences.check()
    called = call_sql(call, read, _filtered(read.where), values)
    selected = read_sql(read, cache, values)
    counting, total = _count(request, read, cache, config, values)
    body = EMPTY if request.method == "HEAD" else _body(wanted, routine)
    page = sql.SQL("1") if routine.is_single else sql.SQL("pg_catalog.count(_postgrest_t)")
    answer = compose(
        "SELECT ", total, " AS total_result_set, ", page, " AS page_total, ", body, " AS body, ", SETTINGS,
        NOT_INSERTED, " FROM (", selected, ") _postgrest_t",
    )  # fmt: skip
    text = compose("WITH pgrst_source AS (", called, ")", counting, _bounded(answer, body, config))
    writes = request.method == "POST" and routine.volatility == "v"
    return PlannedStatement(text, values.held, wanted, writes=writes, routine=routine)


def _bounded(answer: sql.Composable, body: sql.Composable, config: DataConfig) -> sql.Composable:
    """Write the select of an answer that fails when its body is larger than allowed, before any of it is sent.

    No text of ours is read as a boolean: what fails so takes everything back, and needs no function of the database's.
    """
    most = config.launchdb_answer_bytes_max
    if body is EMPTY or not most:
        return compose(" ", answer)
    return compose(
        " SELECT * FROM (", answer, ") answer WHERE CASE WHEN pg_catalog.pg_column_size(body) <= ", str(int(most)),
        f" THEN true ELSE ('{TOO_LARGE}' || pg_catalog.pg_column_size(body))::pg_catalog.bool END",
    )  # fmt: skip


def _filtered(conditions: list[Where]) -> frozenset[str]:
    names: set[str] = set()
    for condition in conditions:
        if isinstance(condition, Logic):
            names |= _filtered(list(condition.members))
        elif isinstance(condition, Filter):
            names.add(condition.field.name)
    return frozenset(names)


def _count(
    request: Request, read: ReadPlan, cache: SchemaCache, config: DataConfig, values: Parameters
) -> tuple[sql.Composable, sql.Composable]:
    if request.preferences.count not in ("exact", "estimated"):
        return sql.SQL(""), sql.SQL("NULL::bigint")
    if config.db_max_rows is None and request.window.is_all:
        return sql.SQL(""), sql.SQL("pg_catalog.count(_postgrest_t)")
    counted: sql.Composable = count_sql(read, cache, values)
    if request.preferences.count == "estimated" and config.db_max_rows is not None:
        counted = compose(counted, " LIMIT ", values.add(str(config.db_max_rows + 1)))
    return (
        compose(", pgrst_source_count AS (", counted, ")"),
        sql.SQL("(SELECT pg_catalog.count(*) FROM pgrst_source_count)"),
    )


def _planned(request: Request, read: ReadPlan, cache: SchemaCache) -> tuple[sql.Composed, dict[str, object]] | None:
    if request.preferences.count not in ("planned", "estimated"):
        return None
    values = Parameters()
    return compose("EXPLAIN (FORMAT JSON) ", count_sql(read, cache, values)), values.held


def _body(wanted: Media, routine: Routine | None) -> sql.Composable:
    if wanted.kind == media.CSV:
        return CSV
    scalar = routine is not None and not routine.composite
    rows = sql.SQL("json_agg(_postgrest_t.pgrst_scalar)" if scalar else "json_agg(_postgrest_t)")
    one = wanted.single or (routine is not None and not routine.returns_set)
    written: sql.Composable = compose(rows, "->0") if one else rows
    if wanted.stripped:
        written = compose("json_strip_nulls(", written, ")")
    return compose("coalesce(", written, sql.SQL(", 'null')" if one else ", '[]')"))


def _location(table: Table, values: Parameters) -> sql.Composable:
    if not table.key:
        return sql.SQL("NULL")
    names = join_sql(", ", [compose(values.add(name), "::text") for name in table.key])
    return compose(
        "CASE WHEN pg_catalog.count(_postgrest_t) = 1 THEN (WITH data AS (SELECT row_to_json(_) AS row FROM "
        "pgrst_source AS _ LIMIT 1) SELECT json_agg(json_build_array(json_data.key, "
        "coalesce('eq.' || json_data.value, 'is.null'))) FROM data CROSS JOIN json_each_text(data.row) AS json_data "
        "WHERE json_data.key IN (", names, ")) END",
    )  # fmt: skip
