"""The steps of a request's transaction: settings, guard, work and end, as they leave together."""

from __future__ import annotations

import functools
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.data.names import Name
from app.data.parse.request import request_settings
from app.data.plan import schema
from app.data.run.pipeline import PipelineStep, encode_parameter, make_step
from app.data.run.reset import reset_steps
from app.data.sql.fragments import compose, ident, qualified

if TYPE_CHECKING:
    from psycopg import sql

    from app.data.config import DataConfig
    from app.data.parse.request import Request
    from app.data.plan.schema import SchemaCache
    from app.data.run.bearer import Identity
    from app.data.sql.statement import PlannedStatement

NOTHING = "NULL"
BEGIN, SETUP, LOCKS, WORK, GUARD, END = "begin", "setup", "locks", "work", "guard", "end"


@dataclass(frozen=True)
class ExecutionContext:
    """What a request runs under. looks: the plan may be older than the request, so compare the schema's stamp.

    guard_first: the guard stands before the write, not behind it.
    """

    request: Request
    identity: Identity
    config: DataConfig
    cache: SchemaCache
    looks: bool
    guard_first: bool = False


def opening_steps(statement: PlannedStatement, terms: ExecutionContext) -> dict[str, PipelineStep]:
    """Return the steps from the beginning of the transaction to the work, by name."""
    setup, values = _settings(statement, terms)
    path = values[1] or b""
    # Never another level: the guard would see the schema as it was when the transaction began.
    level = b"BEGIN ISOLATION LEVEL READ COMMITTED" + (b"" if statement.writes else b" READ ONLY")
    steps = {BEGIN: PipelineStep(level), SETUP: PipelineStep(setup, values, keep=True)}
    if terms.config.db_pre_request:
        steps["pre-request"] = make_step(compose("SELECT ", _function(terms.config.db_pre_request), "()"))
    written = make_step(statement.text, statement.values, keep=True)
    if statement.writes and terms.guard_first:
        # Planning takes the locks of the tables and does nothing else, so here too the guard stands behind them.
        steps[LOCKS] = PipelineStep(b"EXPLAIN " + written.text, written.values)
        steps[GUARD] = _guarded(terms)
    # What a text means depends on where its names are looked up.
    steps[WORK] = replace(written, text=b"%b /* %08x */" % (written.text, zlib.crc32(path)))
    return steps


def _settings(statement: PlannedStatement, terms: ExecutionContext) -> tuple[bytes, tuple[bytes | None, ...]]:
    request, config = terms.request, terms.config
    headers, cookies = request_settings(request.raw)
    schemas = dict.fromkeys((request.target.schema, *config.db_extra_search_path))
    settings = [
        ("search_path", ", ".join(ident(name).as_string(None).replace("%%", "%") for name in schemas)),
        ("role", terms.identity.role),
        ("request.jwt.claims", terms.identity.claims),
        ("request.method", request.method),
        ("request.path", request.raw.path),
        ("request.headers", headers),
        ("request.cookies", cookies),
    ]
    if request.preferences.timezone:
        settings.append(("timezone", request.preferences.timezone))
    if statement.routine is not None:
        hoisted = config.db_hoisted_tx_settings
        settings += [(name, value) for name, value in statement.routine.settings if name in hoisted]
    settings += config.app_settings
    values = tuple(encode_parameter(text) for setting in settings for text in setting)
    return _setup(len(settings), schema.stamp_sql(terms.cache) if terms.looks else NOTHING), values


@functools.lru_cache(maxsize=64)
def _setup(count: int, stamp: str) -> bytes:
    calls = ", ".join(f"set_config(${2 * number + 1}, ${2 * number + 2}, true)" for number in range(count))
    return f"SELECT ({stamp}), {calls}".encode()


def closing_steps(statement: PlannedStatement, terms: ExecutionContext) -> dict[str, PipelineStep]:
    """Return the steps behind the work: the guard, the end, and what clears the session."""
    steps = {}
    asked = terms.request.preferences.end
    rolls_back = asked == "rollback" or (terms.config.rolls_back and asked != "commit")
    if rolls_back:
        # A deferred constraint would only speak at the commit that never comes.
        steps["constraints"] = PipelineStep(b"SET CONSTRAINTS ALL IMMEDIATE")
    if statement.writes and not terms.guard_first:
        steps[GUARD] = _guarded(terms)
    steps[END] = PipelineStep(b"ROLLBACK" if rolls_back else b"COMMIT")
    calls = statement.writes or statement.routine is not None or bool(terms.config.db_pre_request)
    return steps | {f"reset {number}": step for number, step in enumerate(reset_steps(thorough=calls))}


def _guarded(terms: ExecutionContext) -> PipelineStep:
    return PipelineStep(_guard(schema.stamp_sql(terms.cache)), (terms.cache.stamp.encode(),), keep=True)


@functools.lru_cache(maxsize=4)
def _guard(stamp: str) -> bytes:
    # Behind the locks: what changes the tables that are locked has committed before, or waits for our end.
    return f"SELECT (CASE WHEN ({stamp}) = $1 THEN '0' ELSE 'outdated' END)::pg_catalog.int4".encode()


def _function(name: str) -> sql.Composable:
    schema_name, _, plain = name.rpartition(".")
    return qualified(Name(schema_name, plain))
