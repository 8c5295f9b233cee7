"""The schema cache: exposed relations, keys, relationships and functions, as they stood at one stamp."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.data import relationships
from app.data.names import Name
from infra.sql import statements

if TYPE_CHECKING:
    import psycopg

    from app.data.relationships import Relationship

SQL = statements(__file__)
UPDATE, INSERT, DELETE = 4, 8, 16


@dataclass(frozen=True)
class Column:
    """A column: its type as JSON is read into it, its nominal type, and its default."""

    name: str
    type: str
    nominal: str
    default: str | None
    nullable: bool


@dataclass(frozen=True)
class Table:
    """A table or view with what may be done to it."""

    name: Name
    is_view: bool
    events: int
    key: tuple[str, ...]
    columns: dict[str, Column]


@dataclass(frozen=True)
class Parameter:
    """A parameter of a function; `wide_type` is its type without a length."""

    name: str
    type: str
    wide_type: str
    required: bool
    variadic: bool


@dataclass(frozen=True)
class Routine:
    """A function that may be called."""

    name: Name
    parameters: tuple[Parameter, ...]
    returns: Name
    returns_set: bool
    composite: bool
    volatility: str
    settings: tuple[tuple[str, str], ...] = ()
    domain: bool = False

    @property
    def is_scalar(self) -> bool:
        """Say whether it returns one value that is no row."""
        return not self.composite and not self.returns_set

    @property
    def is_set_of_scalars(self) -> bool:
        """Say whether it returns values that are no rows."""
        return not self.composite and self.returns_set

    @property
    def is_single(self) -> bool:
        """Say whether it returns exactly one value or row."""
        return not self.returns_set

    @property
    def is_void(self) -> bool:
        """Say whether it returns nothing."""
        return self.is_scalar and self.returns == Name("pg_catalog", "void")

    @property
    def table(self) -> str | None:
        """Name the relation whose rows it returns."""
        return self.returns.name if self.composite else None


@dataclass(frozen=True)
class SchemaCache:
    """Everything a request is planned against. `stamp` is None where the database keeps none."""

    tables: dict[Name, Table]
    relationships: dict[Name, tuple[Relationship, ...]]
    routines: dict[Name, tuple[Routine, ...]]
    stamped: bool = False
    stamp: int | None = None


def load(connection: psycopg.Connection[Any], schemas: tuple[str, ...], extra: tuple[str, ...] = ()) -> SchemaCache:
    """Read the catalogue with the connection's own rights; nothing of the tenant's runs meanwhile."""
    with connection.transaction():
        with connection.pipeline():
            connection.execute("SELECT set_config('search_path', '', true), set_config('jit', 'off', true)")
            cursor = connection.execute(SQL.load, {"schemas": list(schemas)})
            views = connection.execute(SQL.views, {"schemas": [*schemas, *extra]})
        row = cursor.fetchone()
        assert row is not None  # noqa: S101 - an aggregate without GROUP BY returns one row
        found = json.loads(row[0])
        stamp = _stamp(connection) if found["stamped"] else None
        dependencies = relationships.view_dependencies(views.fetchall(), schemas) if views.rowcount > 0 else []
        keys = connection.execute(SQL.keys).fetchall() if dependencies else []
    return _built(found, stamp, relationships.view_keys(dependencies, keys), schemas)


def _stamp(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute(SQL.stamp).fetchone()
    assert row is not None  # noqa: S101 - a scalar function returns one row
    return int(row[0])


def _built(
    found: dict[str, Any], stamp: int | None, view_keys: list[relationships.ViewKey], schemas: tuple[str, ...]
) -> SchemaCache:
    tables = {(table := _table(entry)).name: table for entry in found["tables"]}
    for key in view_keys:
        if key.kind == "p" and key.view in tables:
            names = (*tables[key.view].key, *(columns[0] for _, columns in key.columns))
            tables[key.view] = Table(**{**tables[key.view].__dict__, "key": names})
    all_keys = {name: table.key for name, table in tables.items()}
    linked = relationships.linked(found["foreign_keys"], found["computed"], view_keys, all_keys, schemas)
    routines: dict[Name, list[Routine]] = {}
    for entry in found["functions"]:
        routine = _routine(entry)
        routines.setdefault(routine.name, []).append(routine)
    return SchemaCache(
        tables, linked, {name: tuple(each) for name, each in routines.items()}, bool(found["stamped"]), stamp
    )


def _table(entry: list[Any]) -> Table:
    schema, name, kind, events, key, columns = entry
    read = {column[0]: Column(*column) for column in columns}
    return Table(Name(schema, name), kind in ("v", "m"), events, tuple(key), read)


def _routine(entry: list[Any]) -> Routine:
    schema, name, parameters, type_schema, type_name, returns_set, composite, volatility, settings, domain = entry
    pairs = (setting.partition("=") for setting in settings or ())
    return Routine(
        Name(schema, name),
        tuple(Parameter(*parameter) for parameter in parameters),
        Name(type_schema, type_name),
        returns_set,
        composite,
        volatility,
        tuple((key, value) for key, _, value in pairs),
        domain,
    )
