"""What people have said of a schema, read when its description is asked for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg

from app.data.run import raised
from app.data.run.pipeline import run_pipeline
from app.data.run.steps import PipelineStep, encode_parameter
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from app.data.plan.schema import Routine
    from app.data.run.pipeline import PipelineConnection

DESCRIPTION: bytes = statements(__file__).description.as_string(None).encode()
PATH = b"SELECT pg_catalog.set_config('search_path', '', true)"
Signature: TypeAlias = tuple[str, tuple[str, ...]]


@dataclass(frozen=True)
class SchemaComments:
    """The comments on a schema, its relations, their columns and its functions; the values of enums by type."""

    schema: str | None
    relations: dict[str, str]
    columns: dict[tuple[str, str], str]
    functions: dict[Signature, str]
    enums: dict[str, list[str]]

    def of_routine(self, routine: Routine) -> str | None:
        """Return the comment on a function."""
        return self.functions.get((routine.name.name, tuple(each.type for each in routine.parameters)))


def read_comments(connection: PipelineConnection, schema: str) -> SchemaComments:
    """Read what is said of a schema, as the login; nothing of the tenant's runs meanwhile. Raises PgrstError."""
    steps = [
        PipelineStep(b"BEGIN READ ONLY"),
        PipelineStep(PATH, keep=True),
        PipelineStep(DESCRIPTION, (encode_parameter(schema),), keep=True),
        PipelineStep(b"ROLLBACK"),
    ]
    try:
        said = run_pipeline(connection, steps)
        if said.error is not None:
            run_pipeline(connection, steps[-1:])
            raise said.error
    except psycopg.Error as error:
        raise raised.error_of_postgres(error, authenticated=True) from None
    return _read(json.loads(said.results[2].get_value(0, 0) or b"{}"))


def _read(found: dict[str, Any]) -> SchemaComments:
    return SchemaComments(
        found["schema"],
        found["relations"],
        {(table, column): text for table, column, text in found["columns"]},
        {(name, tuple(types)): text for name, types, text in found["functions"]},
        found["enums"],
    )
