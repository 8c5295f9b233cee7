"""One statement for one request: the work in a CTE, its rows made JSON (or CSV) by Postgres, and the counts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from psycopg import sql

from app.data.names import Name
from app.data.parse.request import ROUTINE
from app.data.parse.terms import Field, Filter, Logic, SelectField
from app.data.plan.negotiation import negotiate
from app.data.plan.plan import PlanRules, ReadPlan, find_table, read_plan
from app.data.sql.answer_sql import (
    ALL_ROWS,
    COUNTED,
    EMPTY,
    INSERTED,
    NOT_INSERTED,
    ONE,
    body_sql,
    bounded_sql,
    explain_prefix,
    location_sql,
    row_sql,
)
from app.data.sql.fragments import Parameters, compose
from app.data.sql.mutation_sql import Mutation, mutation_sql, plan_mutation
from app.data.sql.rpc_sql import Call, call_sql, plan_call
from app.data.sql.select_sql import count_sql, read_sql

if TYPE_CHECKING:
    from app.data.config import DataConfig
    from app.data.parse.media import Media
    from app.data.parse.request import Request
    from app.data.plan.negotiation import Handler
    from app.data.plan.plan import Where
    from app.data.plan.schema import Routine, SchemaCache, Table

ALL_COLUMNS = [SelectField(Field("*"))]


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
    handler: Handler | None = None

    @property
    def explain(self) -> bytes:
        """Return what stands before the statement when its execution plan is asked for."""
        return explain_prefix(self.media)

    @property
    def is_binary(self) -> bool:
        """Return whether the row comes as bytes, of which the body are some."""
        return self.handler is not None and self.handler.is_binary and not self.media.is_plan


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
    wanted, handler = _negotiated(request, table.name, read, cache, config)
    request.preferences.check()
    source = read_sql(read, cache, values)
    counting, total = _count(request, read, cache, config, values)
    body = EMPTY if request.method == "HEAD" else body_sql(wanted, handler, None)
    answer = row_sql(total, COUNTED, body, ALL_ROWS, handler)
    text = compose("WITH pgrst_source AS (", source, ")", counting, bounded_sql(answer, body, wanted, config))
    return PlannedStatement(
        text, values.held, wanted, writes=False, table=table, count=_planned(request, read, cache), handler=handler
    )


def _write(request: Request, table: Table, cache: SchemaCache, config: DataConfig) -> PlannedStatement:
    values = Parameters()
    represented = request.preferences.returning == "representation"
    unbounded = replace(request.query, windows={})
    read = read_plan(table.name, unbounded, cache, plan_rules(config, limited=False), through_source=True)
    mutation = plan_mutation(request, table, read)
    request.preferences.check()
    wanted, handler = _negotiated(request, table.name, read, cache, config)
    changed = mutation_sql(mutation, request.method, values)
    read.where = [condition for condition in read.where if condition not in mutation.where]
    selected = read_sql(read, cache, values) if represented else ALL_ROWS
    located = request.method == "POST" and request.preferences.returning == "headers-only"
    merging = mutation.conflict is not None and mutation.resolution == "merge-duplicates"
    body = body_sql(wanted, handler, None) if represented else EMPTY
    location = location_sql(table, values) if located else sql.SQL("NULL")
    answer = row_sql(location, COUNTED, body, selected, handler, inserted=INSERTED if merging else NOT_INSERTED)
    text = compose("WITH pgrst_source AS (", changed, ")", bounded_sql(answer, body, wanted, config))
    return PlannedStatement(text, values.held, wanted, writes=True, table=table, mutation=mutation, handler=handler)


def _routine(request: Request, cache: SchemaCache, config: DataConfig) -> PlannedStatement:
    values = Parameters()
    call: Call = plan_call(request, cache)
    routine = call.routine
    target = Name(routine.name.schema, routine.table or routine.name.name)
    read = read_plan(target, request.query, cache, plan_rules(config), through_source=True)
    wanted, handler = _negotiated(request, target, read, cache, config)
    request.preferences.check()
    called = call_sql(call, read, _filtered(read.where), values)
    selected = read_sql(read, cache, values)
    counting, total = _count(request, read, cache, config, values)
    body = EMPTY if request.method == "HEAD" else body_sql(wanted, handler, routine)
    answer = row_sql(total, ONE if routine.is_single else COUNTED, body, selected, handler)
    text = compose("WITH pgrst_source AS (", called, ")", counting, bounded_sql(answer, body, wanted, config))
    writes = request.method == "POST" and routine.volatility == "v"
    return PlannedStatement(text, values.held, wanted, writes=writes, routine=routine, handler=handler)


def _negotiated(
    request: Request, target: Name, read: ReadPlan, cache: SchemaCache, config: DataConfig
) -> tuple[Media, Handler | None]:
    whole = not read.children and read.picks == ALL_COLUMNS
    return negotiate(request.accepts, target, cache.handlers, whole=whole, plans=config.db_plan_enabled)


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
        return sql.SQL(""), COUNTED
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
