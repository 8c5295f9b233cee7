"""The schema cache: exposed relations, keys, relationships and functions, as they stood at one stamp."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from app.data.names import Name
from app.data.plan import relationships
from app.data.plan.negotiation import Handlers, handlers_of
from app.data.plan.role_settings import role_settings
from app.data.plan.similar import NameIndex
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import psycopg

    from app.data.plan.relationships import Relationship

SQL = statements(__file__)
_STAMP: str = SQL.stamp.as_string(None)
_PRINT: str = SQL.print.as_string(None)
UPDATE, INSERT, DELETE = 4, 8, 16
LINKS, ROUTINES = "links", "routines"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its type as JSON is read into it, its nominal type, and its default."""

    name: str
    type: str
    nominal: str
    default: str | None
    nullable: bool


@dataclass(frozen=True, slots=True)
class DomainCasts:
    """The functions that a relation's columns of a domain go through, each by the column's name.

    to_json writes a value into an answer; from_json reads one of a body, from_text one of a filter.
    """

    to_json: dict[str, str] = field(default_factory=dict)
    from_json: dict[str, str] = field(default_factory=dict)
    from_text: dict[str, str] = field(default_factory=dict)


NO_CASTS = DomainCasts()


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view with what may be done to it. casts: of its domains; hardly any relation has some."""

    name: Name
    is_view: bool
    events: int
    key: tuple[str, ...]
    columns: dict[str, Column]
    casts: DomainCasts = NO_CASTS


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a function; `wide_type` is its type without a length."""

    name: str
    type: str
    wide_type: str
    required: bool
    variadic: bool


@dataclass(frozen=True, slots=True)
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
        """Return whether it returns one value that is no row."""
        return not self.composite and not self.returns_set

    @property
    def is_set_of_scalars(self) -> bool:
        """Return whether it returns values that are no rows."""
        return not self.composite and self.returns_set

    @property
    def is_single(self) -> bool:
        """Return whether it returns exactly one value or row."""
        return not self.returns_set

    @property
    def is_void(self) -> bool:
        """Return whether it returns nothing."""
        return self.is_scalar and self.returns == Name("pg_catalog", "void")

    @property
    def table(self) -> str | None:
        """Name the relation whose rows it returns."""
        return self.returns.name if self.composite else None


@dataclass(frozen=True)
class SchemaCache:
    """What requests are planned against. parts: how much of it is read; read_at: the monotonic second before that.

    role_settings: what was set for a role, by its name. handlers: what makes answers of media types that are not ours.

    stamp: the schema's at that moment; stamped: the database keeps one, which costs next to nothing to look at.
    """

    tables: dict[Name, Table]
    relationships: dict[Name, tuple[Relationship, ...]] = field(default_factory=dict)
    role_settings: dict[str, dict[str, str]] = field(default_factory=dict)
    routines: dict[Name, tuple[Routine, ...]] = field(default_factory=dict)
    handlers: Handlers = field(default_factory=dict)
    stamped: bool = False
    stamp: str = ""
    parts: frozenset[str] = frozenset()
    read_at: float = 0.0
    indexes: dict[tuple[str, str], NameIndex] = field(default_factory=dict, compare=False, repr=False)

    def similar(self, kind: str, schema: str, names: Callable[[], Iterable[str]]) -> NameIndex:
        """Return the index of a schema's names of a kind, made when it is first asked for."""
        found = self.indexes.get((kind, schema))
        if found is None:
            found = self.indexes[kind, schema] = NameIndex(names())
        return found


def load(
    connection: psycopg.Connection[Any],
    schemas: tuple[str, ...],
    extra: tuple[str, ...],
    parts: frozenset[str],
    before: SchemaCache | None = None,
) -> SchemaCache:
    """Read the catalogue with the connection's own rights; nothing of the tenant's runs meanwhile.

    The relations are always read; `parts` adds LINKS, ROUTINES or both. All of it is one snapshot.
    before: what was read of the same schemas. Where its stamp is still the schema's, only what it lacks is read.
    """
    started = time.monotonic()
    with connection.transaction():
        stamped = _begun(connection)
        # The stamp is read from the snapshot that the catalogue is read from: an older one only means a reload.
        stamp = _row(connection.execute(SQL.stamp if stamped else SQL.print))[0]
        if before is None or (before.stamped, before.stamp) != (stamped, stamp):
            before = _relations(connection, schemas, stamped=stamped, stamp=stamp)
        tables, missing = dict(before.tables), parts - before.parts
        links = _links(connection, tables, schemas, extra) if LINKS in missing else before.relationships
        routines = _routines(connection, schemas) if ROUTINES in missing else before.routines
    return replace(
        before,
        tables=tables, relationships=links, routines=routines, parts=parts | before.parts, read_at=started, indexes={},
    )  # fmt: skip


def _begun(connection: psycopg.Connection[Any]) -> bool:
    """Begin to read one snapshot; return whether the database keeps a stamp of its schema."""
    with connection.pipeline():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        connection.execute(
            "SELECT set_config('search_path', '', true), set_config('jit', 'off', true),"
            # The joins stand in a good order; searching for a better one takes longer than all of them.
            " set_config('join_collapse_limit', '1', true), set_config('from_collapse_limit', '1', true)"
        )
        cursor = connection.execute("SELECT pg_catalog.to_regprocedure('launchdb.schema_stamp()') IS NOT NULL")
    return bool(_row(cursor)[0])


def _relations(
    connection: psycopg.Connection[Any], schemas: tuple[str, ...], *, stamped: bool, stamp: str
) -> SchemaCache:
    found = _first(connection.execute(SQL.tables, {"schemas": list(schemas)}))
    casts = {(source, target): function for source, target, function in found["representations"]}
    known: dict[tuple[Any, ...], Column] = {}
    tables = {(table := _table(entry, casts, known)).name: table for entry in found["tables"]}
    settings = role_settings(found["role_settings"], found["own_role_settings"])
    return SchemaCache(
        tables, role_settings=settings, handlers=handlers_of(found["handlers"]), stamped=stamped, stamp=stamp
    )


def stamp_sql(cache: SchemaCache) -> str:
    """Return the query whose one value differs from the cache's stamp when the schema does."""
    return _STAMP if cache.stamped else _PRINT


def _row(cursor: psycopg.Cursor[Any]) -> Any:
    row = cursor.fetchone()
    assert row is not None  # noqa: S101 - each of these statements returns one row
    return row


def _first(cursor: psycopg.Cursor[Any]) -> Any:
    return json.loads(_row(cursor)[0])


def _routines(connection: psycopg.Connection[Any], schemas: tuple[str, ...]) -> dict[Name, tuple[Routine, ...]]:
    found = _first(connection.execute(SQL.routines, {"schemas": list(schemas)}))
    routines: dict[Name, list[Routine]] = {}
    for entry in found["functions"]:
        routine = _routine(entry)
        routines.setdefault(routine.name, []).append(routine)
    return {name: tuple(sorted(each, key=_parameters_first)) for name, each in routines.items()}


def _parameters_first(routine: Routine) -> tuple[int, list[tuple[str, str]]]:
    """Order overloads: the one with fewest parameters first, then by their names and types."""
    return len(routine.parameters), [(each.name, each.type) for each in routine.parameters]


def _links(
    connection: psycopg.Connection[Any], tables: dict[Name, Table], schemas: tuple[str, ...], extra: tuple[str, ...]
) -> dict[Name, tuple[Relationship, ...]]:
    with connection.pipeline():
        cursor = connection.execute(SQL.links)
        views = connection.execute(SQL.views, {"schemas": [*schemas, *extra]})
    found, stored = _first(cursor), views.fetchall()
    dependencies = relationships.view_dependencies(stored, schemas) if stored else []
    keys = connection.execute(SQL.keys).fetchall() if dependencies else []
    view_keys = relationships.view_keys(dependencies, keys)
    for key in view_keys:
        if key.kind == "p" and key.view in tables:
            names = (*tables[key.view].key, *(columns[0] for _, columns in key.columns))
            tables[key.view] = replace(tables[key.view], key=names)
    all_keys = {name: table.key for name, table in tables.items()}
    return relationships.relationships(found["foreign_keys"], found["computed"], view_keys, all_keys, schemas)


def _table(entry: list[Any], casts: dict[tuple[str, str], str], known: dict[tuple[Any, ...], Column]) -> Table:
    schema, name, kind, events, key, columns = entry
    read = {(each := _column(column, known)).name: each for column in columns}
    shown = _casts(read, casts) if casts else NO_CASTS
    return Table(Name(sys.intern(schema), name), kind in ("v", "m"), events, tuple(map(sys.intern, key)), read, shown)


def _column(entry: list[Any], known: dict[tuple[Any, ...], Column]) -> Column:
    """Return a column; one that is the same in many relations, as most are, is held once."""
    found = known.get(same := tuple(entry))
    if found is None:
        name, kind, nominal, default, nullable = entry
        found = known[same] = Column(sys.intern(name), sys.intern(kind), sys.intern(nominal), default, nullable)
    return found


def _casts(columns: dict[str, Column], casts: dict[tuple[str, str], str]) -> DomainCasts:
    known = {each for pair in casts for each in pair}
    domains = {name: each.nominal for name, each in columns.items() if each.nominal in known}
    found = DomainCasts(
        to_json={name: casts[domain, "json"] for name, domain in domains.items() if (domain, "json") in casts},
        from_json={name: casts["json", domain] for name, domain in domains.items() if ("json", domain) in casts},
        from_text={name: casts["text", domain] for name, domain in domains.items() if ("text", domain) in casts},
    )
    return NO_CASTS if found == NO_CASTS else found


def _routine(entry: list[Any]) -> Routine:
    schema, name, parameters, type_schema, type_name, returns_set, composite, volatility, settings, domain = entry
    pairs = (setting.partition("=") for setting in settings or ())
    return Routine(
        Name(sys.intern(schema), name),
        tuple(_parameter(*parameter) for parameter in parameters),
        Name(sys.intern(type_schema), sys.intern(type_name)),
        returns_set,
        composite,
        volatility,
        tuple((key, value) for key, _, value in pairs),
        domain,
    )


def _parameter(name: str, kind: str, wide: str, required: bool, variadic: bool) -> Parameter:
    return Parameter(sys.intern(name), sys.intern(kind), sys.intern(wide), required, variadic)
