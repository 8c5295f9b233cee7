"""The steps of a request's transaction: settings, guard, work and end, as they leave together."""

from __future__ import annotations

import functools
import re
import zlib
from typing import TYPE_CHECKING, NamedTuple

from app.data.names import Name
from app.data.parse.request import request_settings
from app.data.plan import schema
from app.data.run.bearer import role_aliases
from app.data.run.reset import reset_steps
from app.data.run.steps import PipelineStep, encode_parameter, make_step
from app.data.run.stopwatch import STOPPED
from app.data.sql.fragments import compose, ident, qualified

if TYPE_CHECKING:
    from psycopg import sql

    from app.data.config import DataConfig
    from app.data.parse.request import Request
    from app.data.plan.schema import SchemaCache
    from app.data.run.bearer import Identity
    from app.data.run.stopwatch import Stopwatch
    from app.data.sql.statement import PlannedStatement

NOTHING = "NULL"
ISOLATION, DEFAULT_LEVEL = "default_transaction_isolation", b"READ COMMITTED"
LEVELS = {"repeatable read": b"REPEATABLE READ", "serializable": b"SERIALIZABLE"}
# What was set for whoever asks, and for the login of the data API: it counts for all, too.
EVERY_ROLE, AUTHENTICATOR = "every_role", "authenticator"
# What is the request's own, and no role's: a plan's names and the wire's encoding hang on it.
_OWN = re.compile(r"search_path|role|session_authorization|client_encoding|(?:transaction_|request\.).*", re.IGNORECASE)
# What every request sets, in this order.
SETTINGS = (
    "search_path", "role", "request.jwt.claims", "request.method", "request.path", "request.headers", "request.cookies",
)  # fmt: skip
BEGIN, SETUP, LOCKS, WORK, GUARD, END = "begin", "setup", "locks", "work", "guard", "end"


class ExecutionContext(NamedTuple):
    """What a request runs under. looks: the plan may be older than the request, so compare the schema's stamp.

    guard_first: the guard stands before the write, not behind it.
    """

    request: Request
    identity: Identity
    config: DataConfig
    cache: SchemaCache
    looks: bool
    guard_first: bool = False
    watch: Stopwatch = STOPPED


def opening_steps(statement: PlannedStatement, terms: ExecutionContext) -> dict[str, PipelineStep]:
    """Return the steps from the beginning of the transaction to the work, by name."""
    chosen = _chosen(statement, terms)
    level = LEVELS.get(chosen.pop(ISOLATION, "").lower(), DEFAULT_LEVEL)
    setup, values = _settings(terms, chosen)
    path = values[0] or b""
    steps = {BEGIN: PipelineStep(b"BEGIN ISOLATION LEVEL %b%b" % (level, b"" if statement.writes else b" READ ONLY"))}
    if level != DEFAULT_LEVEL and statement.writes and statement.table is not None:
        # The guard sees the schema as it was when the snapshot was taken. None of these takes one, so what changes
        # the table has committed before, or waits for our end.
        steps["role"] = make_step(compose("SET LOCAL ROLE ", ident(terms.identity.role)))
        steps["lock"] = make_step(compose("LOCK TABLE ", qualified(statement.table.name), " IN ROW EXCLUSIVE MODE"))
    steps[SETUP] = PipelineStep(setup, values, keep=True)
    if terms.config.db_pre_request:
        steps["pre-request"] = make_step(compose("SELECT ", _function(terms.config.db_pre_request), "()"))
    written = make_step(statement.text, statement.values, keep=not statement.media.is_plan)
    if statement.writes and terms.guard_first:
        # Planning takes the locks of the tables and does nothing else, so here too the guard stands behind them.
        steps[LOCKS] = PipelineStep(b"EXPLAIN " + written.text, written.values)
        steps[GUARD] = _guarded(terms)
    # What a text means depends on where its names are looked up.
    text = b"%b%b /* %08x */" % (statement.explain, written.text, zlib.crc32(path))
    steps[WORK] = written._replace(text=text, is_binary=statement.is_binary)
    return steps


def _chosen(statement: PlannedStatement, terms: ExecutionContext) -> dict[str, str]:
    """Return what was set for the request's role, by the request and by its function; what comes later counts."""
    found: dict[str, str] = {}
    if known := terms.cache.role_settings:
        for name in _names_of(terms.identity.role, terms.config.db_anon_role):
            found |= {key: value for key, value in known.get(name, {}).items() if not _OWN.fullmatch(key)}
    if terms.request.preferences.timezone:
        found["timezone"] = terms.request.preferences.timezone
    if statement.routine is not None:
        hoisted = terms.config.db_hoisted_tx_settings
        found |= {name: value for name, value in statement.routine.settings if name in hoisted}
    return found


@functools.lru_cache(maxsize=256)
def _names_of(role: str, anon_role: str) -> tuple[str, ...]:
    """Return the names under which something may be set for a role, the one that counts most last."""
    plain = [name for name, full in role_aliases(anon_role).items() if full == role]
    return (EVERY_ROLE, AUTHENTICATOR, *plain, role)


def _settings(terms: ExecutionContext, chosen: dict[str, str]) -> tuple[bytes, tuple[bytes | None, ...]]:
    """Return the statement that sets what a request runs under, and its values. The search path is the first."""
    request, config = terms.request, terms.config
    more = (*chosen.items(), *config.app_settings)
    values = (
        _search_path(request.target.schema, config.db_extra_search_path),
        encode_parameter(terms.identity.role),
        encode_parameter(terms.identity.claims),
        encode_parameter(request.method),
        encode_parameter(request.raw.path),
        *_of_headers(tuple(request.raw.headers.items())),
        *(encode_parameter(text) for setting in more for text in setting),
    )
    return _setup(len(more), schema.stamp_sql(terms.cache) if terms.looks else NOTHING), values


@functools.lru_cache(maxsize=128)
def _of_headers(headers: tuple[tuple[str, str], ...]) -> tuple[bytes | None, ...]:
    # A client sends the same ones again and again.
    return tuple(encode_parameter(text) for text in request_settings(dict(headers)))


@functools.lru_cache(maxsize=1024)
def _search_path(first: str, others: tuple[str, ...]) -> bytes | None:
    return encode_parameter(", ".join(ident(name).as_string(None).replace("%%", "%") for name in (first, *others)))


@functools.lru_cache(maxsize=64)
def _setup(more: int, stamp: str) -> bytes:
    begin = len(SETTINGS) + 1
    # Before the role: what the login was granted to set for it, the role itself may not be allowed to set.
    calls = [f"set_config(${begin + 2 * number}, ${begin + 2 * number + 1}, true)" for number in range(more)]
    calls += [f"set_config('{name}', ${number}, true)" for number, name in enumerate(SETTINGS, 1)]
    return f"SELECT ({stamp}), {', '.join(calls)}".encode()


def closing_steps(statement: PlannedStatement, terms: ExecutionContext) -> dict[str, PipelineStep]:
    """Return the steps behind the work: the guard, the end, and what clears the session."""
    steps: dict[str, PipelineStep] = {}
    asked = terms.request.preferences.end
    rolls_back = asked == "rollback" or (terms.config.rolls_back and asked != "commit")
    if rolls_back or statement.writes:
        # A deferred constraint would only speak at the commit: that may never come, and behind one that has failed a
        # pooler gives the session to somebody else before it is cleared.
        steps["constraints"] = PipelineStep(b"SET CONSTRAINTS ALL IMMEDIATE")
    if statement.writes and not terms.guard_first:
        steps[GUARD] = _guarded(terms)
    calls = (
        statement.writes
        or statement.routine is not None
        or statement.handler is not None
        or bool(terms.config.db_pre_request)
    )
    return steps | _ending(b"ROLLBACK" if rolls_back else b"COMMIT", thorough=calls)


@functools.lru_cache(maxsize=8)
def _ending(end: bytes, *, thorough: bool) -> dict[str, PipelineStep]:
    resets = {f"reset {number}": step for number, step in enumerate(reset_steps(thorough=thorough))}
    return {END: PipelineStep(end), **resets}


def _guarded(terms: ExecutionContext) -> PipelineStep:
    return PipelineStep(_guard(schema.stamp_sql(terms.cache)), (terms.cache.stamp.encode(),), keep=True)


@functools.lru_cache(maxsize=4)
def _guard(stamp: str) -> bytes:
    # Behind the locks: what changes the tables that are locked has committed before, or waits for our end.
    return f"SELECT (CASE WHEN ({stamp}) = $1 THEN '0' ELSE 'outdated' END)::pg_catalog.int4".encode()


def _function(name: str) -> sql.Composable:
    schema_name, _, plain = name.rpartition(".")
    return qualified(Name(schema_name, plain))
