"""Functions: which one is meant, and the SQL that calls it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

from app.data.errors import PgrstError
from app.data.names import Name
from app.data.parse import media
from app.data.plan.schema import Column
from app.data.plan.similar import LISTS_SCORE, NAMES_SCORE, most_similar
from app.data.sql.conditions import array_literal
from app.data.sql.fragments import Parameters, column, compose, from_catalogue, ident, join_sql, qualified
from app.data.sql.mutation_sql import rows_from_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.data.parse.request import Request
    from app.data.plan.plan import ReadPlan
    from app.data.plan.schema import Parameter, Routine, SchemaCache

CALL = Name("", "pgrst_call")
UNNAMED = {
    media.JSON: ("json", "jsonb"), media.TEXT: ("text",), media.XML: ("xml",), media.OCTETS: ("bytea",),
}  # fmt: skip


@dataclass(frozen=True)
class Call:
    """A function with the arguments it is to be called with."""

    routine: Routine
    parameters: tuple[Parameter, ...]
    arguments: dict[str, tuple[str, ...]] | None
    text: str | bytes


def plan_call(request: Request, cache: SchemaCache) -> Call:
    """Find the function that takes these arguments. Raises PgrstError: none (PGRST202), several (PGRST203)."""
    direct = request.method != "POST" or request.content == media.FORM
    pairs = request.query.arguments
    if request.method == "POST":
        pairs = request.payload.pairs if request.payload is not None else ()
        keys = request.payload.keys if request.payload is not None else ()
    else:
        keys = tuple(dict.fromkeys(name for name, _ in pairs))
    routine = find_routine(request, frozenset(keys), cache)
    given: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        given[name] = (*given.get(name, ()), value)
    wanted = tuple(each for each in routine.parameters if each.name in keys or not each.name)
    text = request.payload.text if request.payload is not None else json.dumps(dict(pairs))
    return Call(routine, wanted, given if direct else None, text)


def find_routine(request: Request, keys: frozenset[str], cache: SchemaCache) -> Routine:
    """Return the one overload that fits these argument names."""
    posted = request.method == "POST"
    routines = cache.routines.get(request.target, ())
    named = [each for each in routines if _fits(each, keys, request.content, posted=posted)]
    found = named or [each for each in routines if posted and _takes_body(each, request.content)]
    if not found:
        raise _none(request, keys, cache)
    if len(found) > 1:
        raise _several(found)
    return found[0]


def call_sql(call: Call, read: ReadPlan, names: frozenset[str], values: Parameters) -> sql.Composable:
    """Write the statement that calls the function."""
    routine = call.routine
    scalar = not routine.composite
    wanted = sql.SQL("pgrst_call.pgrst_scalar") if scalar else _columns(read, names)
    return compose("SELECT ", wanted, " FROM ", _source(call, values))


def _source(call: Call, values: Parameters) -> sql.Composable:
    parameters = call.parameters
    if len(parameters) == 1 and not parameters[0].name:
        argument = compose(values.add(call.text), "::", from_catalogue(parameters[0].type))
        return _called(call, argument)
    if not parameters:
        return _called(call, sql.SQL(""))
    if call.arguments is not None:
        return _called(call, join_sql(", ", [_argument(each, call.arguments, values) for each in parameters]))
    columns = tuple(Column(each.name, each.type, each.wide_type, None, nullable=True) for each in parameters)
    is_object = isinstance(call.text, str) and call.text.lstrip().startswith("{")
    rows = rows_from_json(columns, sql.SQL("pgrst_payload.json_data"), is_object=is_object, binary=False, one=True)
    passed = [
        compose(_variadic(each), ident(each.name), " := ", column(Name("", "pgrst_body"), each.name))
        for each in parameters
    ]
    return compose(
        "(SELECT ", values.add(call.text), "::json AS json_data) pgrst_payload, LATERAL (", rows,
        ") pgrst_body, LATERAL ", _called(call, join_sql(", ", passed)),
    )  # fmt: skip


def _called(call: Call, arguments: sql.Composable) -> sql.Composable:
    name = qualified(call.routine.name)
    if not call.routine.composite:
        return compose("(SELECT ", name, "(", arguments, ") pgrst_scalar) pgrst_call")
    return compose(name, "(", arguments, ") pgrst_call")


def _argument(parameter: Parameter, given: dict[str, tuple[str, ...]], values: Parameters) -> sql.Composable:
    texts = given.get(parameter.name, ())
    if parameter.variadic:
        value = values.add("{}" if not texts else array_literal(texts) if texts != ("",) else '{""}')
    else:
        value = values.add(texts[-1] if texts else None)
    return compose(
        _variadic(parameter), ident(parameter.name), " := ", value, "::", from_catalogue(parameter.wide_type)
    )


def _variadic(parameter: Parameter) -> sql.Composable:
    return sql.SQL("VARIADIC " if parameter.variadic else "")


def _columns(read: ReadPlan, names: frozenset[str]) -> sql.Composable:
    wanted = {pick.field.name for pick in read.picks}
    if not wanted or "*" in wanted or read.children:
        return sql.SQL("pgrst_call.*")
    return join_sql(", ", [column(CALL, name) for name in sorted(wanted | names)])


def _fits(routine: Routine, keys: frozenset[str], content: str, *, posted: bool) -> bool:
    if not routine.parameters:
        return not keys and not (posted and content in (media.TEXT, media.XML, media.OCTETS))
    required = {each.name for each in routine.parameters if each.required}
    optional = {each.name for each in routine.parameters if not each.required}
    if not required:
        return keys <= optional
    return keys - optional == required


def _takes_body(routine: Routine, content: str) -> bool:
    if len(routine.parameters) != 1 or routine.parameters[0].name:
        return False
    return routine.parameters[0].type in UNNAMED.get(content, ())


def _none(request: Request, keys: frozenset[str], cache: SchemaCache) -> PgrstError:
    function, names = f"{request.target.schema}.{request.target.name}", ", ".join(sorted(keys))
    unnamed = {media.TEXT: "text", media.XML: "xml", media.OCTETS: "bytea"}.get(request.content)
    if request.method == "POST" and unnamed:
        shown, searched = "", f" with a single unnamed {unnamed} parameter"
    else:
        shown = f"({names})" if keys else " without parameters"
        searched = f" with parameter{'s' if len(keys) > 1 else ''} {names}" if keys else " without parameters"
        if request.method == "POST" and request.content == media.JSON:
            searched += " or with a single unnamed json/jsonb parameter"
    return PgrstError(
        "PGRST202",
        f"Could not find the function {function}{shown} in the schema cache",
        f"Searched for the function {function}{searched}, but no matches were found in the schema cache.",
        None if request.method == "POST" and unnamed else _nearest(request, keys, cache),
    )


def _nearest(request: Request, keys: frozenset[str], cache: SchemaCache) -> str | None:
    schema, overloads = request.target.schema, cache.routines.get(request.target, ())
    if overloads:
        shapes = [_shape(each.name for each in routine.parameters) for routine in overloads]
        near = most_similar(_shape(keys), shapes, LISTS_SCORE)
        close = f"{request.target.name}{near}" if near else None
    else:
        names = cache.similar(
            "routines", schema, lambda: [name.name for name in cache.routines if name.schema == schema]
        )
        close = names.most_similar(request.target.name, NAMES_SCORE)
    return f"Perhaps you meant to call the function {schema}.{close}" if close else None


def _shape(names: Iterable[str]) -> str:
    return f"({', '.join(sorted(names))})"


def _several(found: list[Routine]) -> PgrstError:
    shapes = ", ".join(
        f"{each.name.schema}.{each.name.name}("
        + ", ".join(f"{parameter.name} => {parameter.type}" for parameter in each.parameters)
        + ")"
        for each in found
    )
    return PgrstError(
        "PGRST203",
        f"Could not choose the best candidate function between: {shapes}",
        None,
        "Try renaming the parameters or the function itself in the database so function overloading can be resolved",
    )
