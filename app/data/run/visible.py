"""What of a schema a role may use: nothing else of it is described or named to whoever asks as that role."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg

from app.data.names import Name
from app.data.run import raised
from app.data.run.pipeline import run_pipeline
from app.data.run.steps import PipelineStep, encode_parameter
from app.data.sql.conditions import array_literal
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from app.data.plan.schema import Routine, SchemaCache
    from app.data.run.bearer import Identity
    from app.data.run.pipeline import PipelineConnection

VISIBLE: bytes = statements(__file__).visible.as_string(None).encode()
# Wrong names cost a look at all rights of a schema, and whoever sends many of them may have them all from one look.
KEPT_SECONDS, ROLES_MAX = 1.0, 3
ROLE = b"SELECT pg_catalog.set_config('role', $1, true), pg_catalog.set_config('search_path', '', true)"


class VisibleParts:
    """The parts of a schema cache that hints are made of, by role; each is looked up again after a second."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[float, SchemaCache, SchemaCache]] = {}

    def part_for(
        self, connection: PipelineConnection, cache: SchemaCache, identity: Identity, schemas: tuple[str, ...]
    ) -> SchemaCache:
        """Return the part of the cache that a role may use, or could a second ago. Raises PgrstError."""
        now, role = time.monotonic(), identity.role
        at, of, part = self._kept.get(role, (0.0, None, cache))
        if of is cache and now - at < KEPT_SECONDS:
            return part
        part = visible_part(connection, cache, identity, schemas)
        if len(self._kept) >= ROLES_MAX:
            self._kept.clear()
        self._kept[role] = now, cache, part
        return part

    def forget(self) -> None:
        """Forget all parts, with the cache that they are of."""
        self._kept.clear()


def visible_part(
    connection: PipelineConnection, cache: SchemaCache, identity: Identity, schemas: tuple[str, ...]
) -> SchemaCache:
    """Return the part of the cache that a role may use; nothing of the tenant's runs meanwhile. Raises PgrstError."""
    steps = [
        PipelineStep(b"BEGIN READ ONLY"),
        PipelineStep(ROLE, (encode_parameter(identity.role),), keep=True),
        PipelineStep(VISIBLE, (encode_parameter(array_literal(schemas)),), keep=True),
        PipelineStep(b"ROLLBACK"),
    ]
    try:
        said = run_pipeline(connection, steps)
        if said.error is not None:
            run_pipeline(connection, steps[-1:])
            raise said.error
    except psycopg.Error as error:
        raise raised.error_of_postgres(error, authenticated=identity.authenticated) from None
    return _part(cache, json.loads(said.results[2].get_value(0, 0) or b"{}"))


def _part(cache: SchemaCache, found: dict[str, Any]) -> SchemaCache:
    allowed = {Name(schema, name): events for schema, name, events in found["relations"]}
    callable_ = {(schema, name, tuple(types)) for schema, name, types in found["functions"]}
    routines = {
        name: tuple(routine for routine in several if _signature(routine) in callable_)
        for name, several in cache.routines.items()
    }
    return replace(
        cache,
        tables={
            name: replace(table, events=table.events & allowed[name])
            for name, table in cache.tables.items()
            if name in allowed
        },
        relationships={
            name: tuple(rel for rel in several if rel.foreign in allowed and (rel.junction or name) in allowed)
            for name, several in cache.relationships.items()
            if name in allowed
        },
        routines={name: several for name, several in routines.items() if several},
        indexes={},
    )


def _signature(routine: Routine) -> tuple[str, str, tuple[str, ...]]:
    return routine.name.schema, routine.name.name, tuple(each.type for each in routine.parameters)
