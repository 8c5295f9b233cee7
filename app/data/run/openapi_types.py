"""Columns and parameters as Swagger 2.0 describes them: types, formats, defaults, values, keys."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.data.plan.relationships import Relationship
    from app.data.plan.schema import Column, Parameter, Routine, Table
    from app.data.run.description import SchemaComments

INTEGER, NUMBER, STRING = "integer", "number", "string"
TYPES = {
    "smallint": INTEGER, "integer": INTEGER, "bigint": INTEGER, "boolean": "boolean", "numeric": NUMBER,
    "real": NUMBER, "double precision": NUMBER, "json": None, "jsonb": None,
}  # fmt: skip
FORMATS = {"smallint": "int32", "integer": "int32", "bigint": "int64"}
_LENGTH = re.compile(r"(?:character varying|character|bit|bit varying)\(([0-9]+)\)")


def without_none(**members: Any) -> dict[str, Any]:
    """Return the members that there are; `_` behind a name that Python keeps for itself falls away."""
    return {name.rstrip("_"): value for name, value in members.items() if value is not None}


def swagger_type(name: str) -> str | None:
    """Return the type that a Postgres type has in JSON; None: any."""
    return "array" if name.endswith("[]") else TYPES.get(name, STRING)


def property_of_type(name: str, **more: Any) -> dict[str, Any]:
    """Return a property of a Postgres type."""
    items = without_none(type=swagger_type(name[:-2])) if name.endswith("[]") else None
    return without_none(format=FORMATS.get(name, name), type=swagger_type(name), items=items, **more)


def definition(table: Table, relationships: Iterable[Relationship], comments: SchemaComments) -> dict[str, Any]:
    """Return the definition of a relation's rows."""
    links = _links(relationships)
    columns = {name: _column(each, table, links, comments) for name, each in table.columns.items()}
    required = [each.name for each in table.columns.values() if not each.nullable]
    return without_none(
        description=comments.relations.get(table.name.name),
        type="object",
        properties=columns,
        required=required or None,
    )


def arguments(routine: Routine, comments: SchemaComments, path: Iterable[str]) -> dict[str, Any]:
    """Return the definition of a function's arguments; one without a name is the body itself."""
    named = [each for each in routine.parameters if each.name]
    required = [each.name for each in named if each.required]
    return without_none(
        description=comments.of_routine(routine),
        type="object" if named or not routine.parameters else swagger_type(routine.parameters[0].type),
        properties={each.name: property_of_type(_plain(each.type, path)) for each in named},
        required=required or None,
    )


def query_parameter(parameter: Parameter, path: Iterable[str]) -> dict[str, Any]:
    """Return a parameter of a function as it stands in a URL, where an array is a text in braces."""
    name, found = _plain(parameter.type, path), {"name": parameter.name, "in": "query", "required": parameter.required}
    if not parameter.variadic:
        kind = swagger_type(name)
        written = STRING if kind in (None, "array") else kind
        return {**found, "type": written, "format": FORMATS.get(name, name)}
    element = name.removesuffix("[]")
    items = without_none(type=swagger_type(element), format=FORMATS.get(element, element))
    return {**found, "type": "array", "collectionFormat": "multi", "items": items}


def _plain(name: str, path: Iterable[str]) -> str:
    """Return a type's name as it is written where its schema is looked in."""
    schema, dot, plain = name.partition(".")
    return plain if dot and schema.strip('"') in path else name


def _column(column: Column, table: Table, links: dict[str, Relationship], comments: SchemaComments) -> dict[str, Any]:
    length = _LENGTH.fullmatch(column.nominal)
    return property_of_type(
        column.type,
        description=_described(column, table, links, comments),
        default=_default(column),
        maxLength=int(length[1]) if length else None,
        enum=comments.enums.get(column.nominal),
    )


def _links(relationships: Iterable[Relationship]) -> dict[str, Relationship]:
    """Return the foreign key that each column is alone; one to a table comes before one to a view."""
    found: dict[str, Relationship] = {}
    for rel in sorted(relationships, key=lambda rel: rel.foreign_is_view):
        if len(rel.pairs) == 1 and (rel.kind == "m2o" or (rel.kind == "o2o" and not rel.is_parent)):
            found.setdefault(rel.pairs[0][0], rel)
    return found


def _described(column: Column, table: Table, links: dict[str, Relationship], comments: SchemaComments) -> str | None:
    said = comments.columns.get((table.name.name, column.name))
    notes = ["This is a Primary Key.<pk/>"] if column.name in table.key else []
    if rel := links.get(column.name):
        far, end = rel.foreign.name, rel.pairs[0][1]
        notes.append(f"This is a Foreign Key to `{far}.{end}`.<fk table='{far}' column='{end}'/>")
    if not notes:
        return said
    return (f"{said}\n\n" if said is not None else "") + "\n".join(["Note:", *notes])


def _default(column: Column) -> Any:
    """Return a default that is a plain value; an expression is none."""
    if column.default is None:
        return None
    if swagger_type(column.type) == STRING:
        text = column.default.removesuffix(f"::{column.type}")
        return text.strip("'") if text != column.default else text
    try:
        return json.loads(column.default)
    except ValueError:
        return None
