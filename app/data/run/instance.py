"""One data API: its configuration, its connections, its schema cache, and how a request is answered."""

from __future__ import annotations

import functools
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import psycopg

from app.data.errors import LocksExhausted, PgrstError
from app.data.parse import body
from app.data.parse import request as requests
from app.data.plan import schema
from app.data.plan.plan import find_table
from app.data.run import respond, session
from app.data.run.bearer import identify
from app.data.run.connections import Budget, Pool
from app.data.run.description import read_comments
from app.data.run.needs import needed_parts
from app.data.run.plans import StatementPlans
from app.data.run.stopwatch import STOPPED, Stopwatch
from app.data.run.transaction import ExecutionContext
from app.data.run.visible import VisibleParts, visible_part
from app.data.sql import statement
from infra import exhaustion

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.data.config import DataConfig
    from app.data.parse.request import RawRequest, Request
    from app.data.plan.schema import SchemaCache
    from app.data.run.bearer import Identity
    from app.data.run.pipeline import PipelineConnection
    from app.data.run.respond import DataResponse
    from infra.instances.activity import ActivityMark

# Where no stamp is kept, looking whether the schema has changed costs something, and is not done more often than this.
LOOK_SECONDS = 0.5
# A session may have been ended a moment ago; so may the next, when all of them were.
SESSIONS = 5
# So long a request is planned anew while the schema goes on changing, and once more with the guard before the work;
# then its client may wait.
PATIENCE_SECONDS = 5.0
# As long it is tried again while somebody has all locks of the server: the watchdog ends them within moments.
LOCKS_PAUSE_SECONDS = 0.05
# Faults whose hints name what there is; and those that name it in message or details as well.
NAMING, LISTING = frozenset({"PGRST200", "PGRST201", "PGRST202", "PGRST205"}), frozenset({"PGRST201"})
T = TypeVar("T")


class Instance:
    """A data API that answers requests. Opens nothing until the first one."""

    def __init__(
        self,
        config: DataConfig,
        budget: Budget,
        name: str = "launchdb-data",
        *,
        pool: Pool | None = None,
        mark: ActivityMark | None = None,
        read_body: requests.ReadBody = body.read,
    ) -> None:
        self.config = config
        self.pool = pool or Pool(config, budget, name)
        self.used = time.monotonic()
        self._mark = mark
        self._plans = StatementPlans(config, read_body)
        self._visible = VisibleParts()
        self._cache: SchemaCache | None = None
        self._checked = 0.0
        self._loading, self._looking = threading.Lock(), threading.Lock()

    def answer(self, raw: RawRequest) -> DataResponse:
        """Answer a request; an error is an answer too."""
        self.used = time.monotonic()
        if self._mark is not None:
            self._mark.touch()
        try:
            return self._answer(raw)
        except PgrstError as fault:
            minimal = self.config.client_error_verbosity == "minimal"
            return respond.error_response(fault, head=raw.method == "HEAD", minimal=minimal)

    def forget_schema(self) -> None:
        """Read the catalogue again before the next request, and plan what comes anew."""
        self._cache = None
        self._plans.forget()
        self._visible.forget()

    def ready(self) -> SchemaCache:
        """Return what there is to plan against. Raises PgrstError unless the database answers, with its catalogue.

        It is asked by a connection beside the pool's, which may all be lent.
        """
        try:
            with self.pool.open_beside() as connection:
                connection.execute("SELECT")
                return self._known(connection, frozenset({schema.LINKS, schema.ROUTINES}))
        except (psycopg.Error, session.SessionEnded, UnicodeError, ValueError):
            raise _unreadable() from None

    def close(self) -> None:
        """Release all connections and the cache."""
        self._cache = None
        self.pool.close()

    def _answer(self, raw: RawRequest) -> DataResponse:
        watch = Stopwatch(runs=True) if self.config.server_timing_enabled else STOPPED
        identity = identify(raw.headers.get("authorization"), self.config)
        watch.lap("jwt")
        request = self._plans.read(raw)
        watch.lap("parse")
        act = functools.partial(self._answered, request=request, identity=identity, watch=watch)
        answer = (
            self._beside(act) if self.pool.is_exhausted and self._needs_no_rows(request) else self._with_a_session(act)
        )
        return answer if watch is STOPPED else replace(answer, headers=answer.headers + watch.header())

    def _needs_no_rows(self, request: Request) -> bool:
        """Return whether a request will be refused, or only asks what may be done, as far as the schema is known."""
        cache = self._cache
        if cache is None or request.resource == requests.ROOT or not needed_parts(request) <= cache.parts:
            return False
        if request.method == "OPTIONS":
            return True
        try:
            self._plans.plan(request, cache)
        except PgrstError:
            return True
        return False

    def _beside(self, act: Callable[[PipelineConnection], T]) -> T:
        """Act on a connection that is none of the pool's, where nobody should wait for one; one request at a time."""
        with self._looking:
            try:
                with self.pool.open_beside() as connection:
                    return act(connection)
            except (psycopg.Error, session.SessionEnded, UnicodeError, ValueError):
                raise _unreadable() from None

    def _with_a_session(self, act: Callable[[PipelineConnection], T]) -> T:
        deadline, left = time.monotonic() + PATIENCE_SECONDS, SESSIONS
        while left:
            try:
                with self.pool.lend() as connection:
                    return act(connection)
            except session.SessionEnded:
                left -= 1
            except LocksExhausted as short:
                if time.monotonic() > deadline:
                    raise short.fault from None
                time.sleep(LOCKS_PAUSE_SECONDS)
        raise PgrstError("PGRST001", "Database client error. Retrying the connection.", headers=(("Retry-After", "1"),))

    def _answered(
        self, connection: PipelineConnection, request: Request, identity: Identity, watch: Stopwatch
    ) -> DataResponse:
        began, parts = time.monotonic(), needed_parts(request)
        cache, guard_first = self._known(connection, parts), False
        while True:
            cache = self._deepened(connection, cache, request)
            # What was read after the request began may be outdated too, but not for this request.
            looks = cache.read_at < began and (cache.stamped or began - self._checked > LOOK_SECONDS)
            try:
                terms = ExecutionContext(request, identity, self.config, cache, looks, guard_first, watch)
                return self._attempt(connection, terms)
            except session.SchemaChanged:
                guard_first = True
            except session.PlanOutdated:
                over = time.monotonic() > began + PATIENCE_SECONDS
                if over and guard_first:
                    raise _unreadable() from None
                # A write that takes longer than the schema stays as it is would never find it so at its end.
                guard_first = guard_first or over
                cache = self._renewed(connection, cache, parts)

    def _attempt(self, connection: PipelineConnection, terms: ExecutionContext) -> DataResponse:
        request, cache, watch = terms.request, terms.cache, terms.watch
        watch.skip()
        try:
            if request.method == "OPTIONS" or request.resource == requests.ROOT:
                self._look(connection, terms)
                described = self._described(connection, terms)
                watch.lap("response")
                return described
            planned = self._plans.plan(request, cache)
        except PgrstError as fault:
            self._look(connection, terms)
            raise self._discreet(connection, terms, fault) from None
        watch.lap("plan")
        started = time.monotonic()
        outcome = session.run(connection, planned, terms)
        watch.lap("transaction")
        if terms.looks:
            self._checked = started
        answer = respond.data_response(outcome, planned, request, self.config)
        watch.lap("response")
        return answer

    def _described(self, connection: PipelineConnection, terms: ExecutionContext) -> DataResponse:
        request, cache = terms.request, terms.cache
        if request.method != "OPTIONS":
            respond.check_description(request)
            comments = read_comments(connection, request.target.schema)
            if self.config.openapi_mode != "ignore-privileges":
                cache = visible_part(connection, cache, terms.identity, self.config.db_schemas)
            return respond.root_response(request, cache, self.config, comments)
        if request.resource == requests.TABLE:
            find_table(request.target, cache)
        return respond.options_response(request, cache)

    def _discreet(self, connection: PipelineConnection, terms: ExecutionContext, fault: PgrstError) -> PgrstError:
        """Return a fault as it would be if there were nothing but what the role may use: it names nothing else."""
        if fault.code not in NAMING or (fault.hint is None and fault.code not in LISTING):
            return fault
        cache = self._visible.part_for(connection, terms.cache, terms.identity, self.config.db_schemas)
        try:
            statement.plan(self._plans.whole(terms.request), cache, self.config)
        except PgrstError as seen:
            if seen.code == fault.code:
                return seen
        fault.hint = None
        if fault.code in LISTING:
            fault.details = None
        return fault

    def _look(self, connection: PipelineConnection, terms: ExecutionContext) -> None:
        """Raise PlanOutdated when what a request was planned against is not so any more."""
        if not terms.looks:
            return
        started = time.monotonic()
        stamp = session.read_stamp(connection, terms.cache)
        if connection.closed:
            raise session.SessionEnded
        if stamp != terms.cache.stamp:
            raise session.PlanOutdated
        self._checked = started

    def _known(self, connection: PipelineConnection, parts: frozenset[str]) -> SchemaCache:
        cache = self._cache
        if cache is not None and parts <= cache.parts:
            return cache
        with self._loading:
            cache = self._cache
            if cache is None or not parts <= cache.parts:
                wanted = parts | (cache.parts if cache is not None else parts)
                cache = self._cache = self._load(connection, wanted, cache)
            return cache

    def _deepened(self, connection: PipelineConnection, cache: SchemaCache, request: Request) -> SchemaCache:
        """Read the keys of views too when a view is written to: they are those of the tables below."""
        table = cache.tables.get(request.target)
        if table is None or not table.is_view or request.is_read:
            return cache
        return self._known(connection, frozenset({schema.LINKS}))

    def _load(
        self, connection: PipelineConnection, parts: frozenset[str], before: SchemaCache | None = None
    ) -> SchemaCache:
        counters = self.pool.counters
        try:
            config = self.config
            cache = schema.load(connection, config.db_schemas, config.db_extra_search_path, parts, before)
            counters.loads["SUCCESS"] += 1
            counters.seconds = time.monotonic() - cache.read_at
        except psycopg.Error as error:
            counters.loads["FAIL"] += 1
            if connection.closed:
                raise session.SessionEnded from None
            if exhaustion.is_lock_table_full(error):
                raise LocksExhausted(_unreadable()) from None
            raise _unreadable() from None
        self._checked = cache.read_at
        return cache

    def _renewed(self, connection: PipelineConnection, cache: SchemaCache, parts: frozenset[str]) -> SchemaCache:
        """Read the catalogue again, unless somebody has done that since."""
        with self._loading:
            if self._cache is cache or self._cache is None:
                self._cache = self._load(connection, cache.parts)
        return self._known(connection, parts)


def _unreadable() -> PgrstError:
    return PgrstError(
        "PGRST002",
        "Could not query the database for the schema cache. Retrying.",
        headers=(("Retry-After", "1"),),
    )
