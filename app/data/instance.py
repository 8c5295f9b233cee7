"""One data API: its configuration, its connections, its schema cache, and how a request is answered."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, TypeVar

import psycopg

from app.data import request as requests
from app.data import respond, schema, session, statement
from app.data.bearer import identify
from app.data.connections import Budget, Pool
from app.data.faults import Fault
from app.data.plan import find_table
from app.data.terms import SelectRelation

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.data.config import DataConfig
    from app.data.connections import Connection
    from app.data.request import Raw, Request
    from app.data.respond import Answer
    from app.data.schema import SchemaCache
    from infra.activity import Mark

# A committed change of the schema is seen by requests that begin this much later.
STALE_SECONDS = 0.5
MISSES = frozenset({"PGRST200", "PGRST202", "PGRST204", "PGRST205"})
OUTDATED = frozenset({"42P01", "42703", "42883", "42704"})
T = TypeVar("T")


def needs(request: Request) -> frozenset[str]:
    """Return the parts of the schema cache that a request is planned against, beyond the relations."""
    parts = set()
    if request.resource != requests.TABLE:
        parts.add(schema.ROUTINES)
    if any(isinstance(item, SelectRelation) for item in request.query.select):
        parts.add(schema.LINKS)
    return frozenset(parts)


class Instance:
    """A data API that answers requests. Opens nothing until the first one."""

    def __init__(
        self,
        config: DataConfig,
        budget: Budget,
        name: str = "launchdb-data",
        *,
        pool: Pool | None = None,
        mark: Mark | None = None,
    ) -> None:
        self.config = config
        self.pool = pool or Pool(config, budget, name)
        self.used = time.monotonic()
        self._mark = mark
        self._cache: SchemaCache | None = None
        self._checked = 0.0
        self._loading = threading.Lock()

    def answer(self, raw: Raw) -> Answer:
        """Answer a request; an error is an answer too."""
        self.used = time.monotonic()
        if self._mark is not None:
            self._mark.touch()
        try:
            return self._answer(raw)
        except Fault as fault:
            minimal = self.config.client_error_verbosity == "minimal"
            return respond.fault_answer(fault, head=raw.method == "HEAD", minimal=minimal)

    def forget_schema(self) -> None:
        """Read the catalogue again before the next request."""
        self._cache = None

    def ready(self) -> None:
        """Raise Fault unless the database answers and its catalogue can be read."""
        with self.pool.lend() as connection:
            self._known(connection, frozenset())

    def close(self) -> None:
        """Let go of all connections and of the cache."""
        self._cache = None
        self.pool.close()

    def _answer(self, raw: Raw) -> Answer:
        identity = identify(raw.headers.get("authorization"), self.config)
        request = requests.read(raw, self.config)
        with self.pool.lend() as connection:
            cache = self._known(connection, needs(request))
            cache = self._deepened(connection, cache, request)
            if request.method == "OPTIONS":
                if request.resource == requests.TABLE:
                    _, cache = self._tried(lambda known: find_table(request.target, known), connection, cache)
                return respond.options_answer(request, cache)
            if request.resource == requests.ROOT:
                return respond.root_answer(request, cache, self.config)
            for attempt in (1, 2):
                planned, cache = self._tried(
                    lambda known: statement.plan(request, known, self.config), connection, cache
                )
                stale = cache.stamped and time.monotonic() - self._checked > STALE_SECONDS
                try:
                    outcome = session.run(connection, planned, request, identity, self.config, stamped=stale)
                except Fault as fault:
                    fresh = self._refreshed(connection, cache) if fault.code in OUTDATED and attempt == 1 else cache
                    if fresh is cache:
                        raise
                    cache = fresh
                    continue
                if stale:
                    self._noticed(outcome.stamp, cache)
                return respond.answer(outcome, planned, request, self.config)
        raise Fault("PGRST002", "Could not query the database for the schema cache. Retrying.")

    def _tried(
        self, look: Callable[[SchemaCache], T], connection: Connection, cache: SchemaCache
    ) -> tuple[T, SchemaCache]:
        try:
            return look(cache), cache
        except Fault as fault:
            # What is not in the cache may have been made since: look once before saying that it is not there.
            fresh = self._refreshed(connection, cache) if fault.code in MISSES else cache
            if fresh is cache:
                raise
            return look(fresh), fresh

    def _known(self, connection: Connection, parts: frozenset[str]) -> SchemaCache:
        cache = self._cache
        if cache is not None and parts <= cache.parts:
            return cache
        with self._loading:
            cache = self._cache
            if cache is None or not parts <= cache.parts:
                cache = self._cache = self._load(connection, parts | (cache.parts if cache is not None else parts))
            return cache

    def _deepened(self, connection: Connection, cache: SchemaCache, request: Request) -> SchemaCache:
        """Read the keys of views too when a view is written to: they are those of the tables below."""
        table = cache.tables.get(request.target)
        if table is None or not table.is_view or request.reads:
            return cache
        return self._known(connection, frozenset({schema.LINKS}))

    def _load(self, connection: Connection, parts: frozenset[str]) -> SchemaCache:
        started = time.monotonic()
        try:
            cache = schema.load(connection, self.config.db_schemas, self.config.db_extra_search_path, parts)
        except psycopg.Error:
            raise Fault(
                "PGRST002",
                "Could not query the database for the schema cache. Retrying.",
                headers=(("Retry-After", "1"),),
            ) from None
        self._checked = started
        return cache

    def _refreshed(self, connection: Connection, cache: SchemaCache) -> SchemaCache:
        """Return the same cache when the schema has not changed since, else a new one."""
        if cache.stamped:
            try:
                row = connection.execute(schema.SQL.stamp).fetchone()
            except psycopg.Error:
                row = None
            if row is not None and row[0] == cache.stamp:
                self._checked = time.monotonic()
                return cache
        elif time.monotonic() - self._checked < STALE_SECONDS:
            return cache
        with self._loading:
            if self._cache is cache or self._cache is None:
                self._cache = self._load(connection, cache.parts)
            return self._cache

    def _noticed(self, stamp: int | None, cache: SchemaCache) -> None:
        if stamp != cache.stamp:
            self.forget_schema()
        else:
            self._checked = time.monotonic()
