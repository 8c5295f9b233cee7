"""The description of a schema as Swagger 2.0: what a caller may use of it, and how."""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from app.data.plan.schema import DELETE, INSERT, UPDATE
from app.data.run.openapi_types import arguments, definition, query_parameter, without_none

if TYPE_CHECKING:
    from app.data.config import DataConfig
    from app.data.plan.schema import Routine, SchemaCache, Table
    from app.data.run.description import SchemaComments

JSON, OBJECT = "application/json", "application/vnd.pgrst.object+json"
STRIPPED = f"{OBJECT};nulls=stripped"
OK, CREATED, NO_CONTENT = (
    {"200": {"description": "OK"}},
    {"201": {"description": "Created"}},
    {"204": {"description": "No Content"}},
)
READ = ("select", "order", "range", "rangeUnit", "offset", "limit", "preferCount")
JWT = {"JWT": {
    "type": "apiKey", "name": "Authorization", "in": "header",
    "description": 'Add the token prepending "Bearer " (without quotes) to it',
}}  # fmt: skip
_PLAIN = re.compile(r"[A-Za-z0-9_.-]*")
_RETURN = ["return=representation", "return=minimal", "return=none"]
_RESOLUTION = ["resolution=ignore-duplicates", "resolution=merge-duplicates"]


def _preference(values: list[str] | None) -> dict[str, Any]:
    return without_none(
        name="Prefer", description="Preference", required=False, in_="header", type="string", enum=values
    )


def _text(name: str, description: str, where: str = "query", **more: Any) -> dict[str, Any]:
    return {"name": name, "description": description, "required": False, "in": where, "type": "string", **more}


PARAMETERS = {
    "preferParams": _preference(None),
    "preferReturn": _preference(_RETURN),
    "preferCount": _preference(["count=none", "count=exact", "count=planned", "count=estimated"]),
    "preferPost": _preference(_RETURN + _RESOLUTION),
    "select": _text("select", "Filtering Columns"),
    "on_conflict": _text("on_conflict", "On Conflict"),
    "order": _text("order", "Ordering"),
    "range": _text("Range", "Limiting and Pagination", "header"),
    "rangeUnit": _text("Range-Unit", "Limiting and Pagination", "header", default="items"),
    "offset": _text("offset", "Limiting and Pagination"),
    "limit": _text("limit", "Limiting and Pagination"),
}


def swagger(schema: str, cache: SchemaCache, config: DataConfig, comments: SchemaComments) -> dict[str, Any]:
    """Return the description of the relations and functions of a schema that are in the cache."""
    tables = sorted((each for name, each in cache.tables.items() if name.schema == schema), key=_table_name)
    routines = sorted((each for name, each in cache.routines.items() if name.schema == schema), key=_routine_name)
    path = (schema, *config.db_extra_search_path)
    title, described = _split(comments.schema)
    kinds = [JSON, STRIPPED, OBJECT, "text/csv"]
    return {
        "swagger": "2.0",
        "info": {
            "title": title or f"{schema} schema",
            "description": described or "What the tables, views and functions of this schema may be asked.",
            "version": "14",
        },
        **_address(config),
        "consumes": kinds,
        "produces": kinds,
        "paths": {
            "/": {"get": {
                "tags": ["Introspection"], "summary": "OpenAPI description (this document)",
                "produces": ["application/openapi+json", JSON], "responses": OK,
            }},
            **{f"/{each.name.name}": _operations(each, comments) for each in tables},
            **{f"/rpc/{each[-1].name.name}": _calls(each[-1], comments, path) for each in routines},
        },
        "definitions": {
            each.name.name: definition(each, cache.relationships.get(each.name, ()), comments) for each in tables
        },
        "parameters": PARAMETERS | dict(chain.from_iterable(_table_parameters(each, comments) for each in tables)),
        **({"securityDefinitions": JWT, "security": [{"JWT": []}]} if config.openapi_security_active else {}),
        "externalDocs": {
            "description": "PostgREST Documentation", "url": "https://postgrest.org/en/v14/references/api.html",
        },
    }  # fmt: skip


def _table_name(table: Table) -> str:
    return table.name.name


def _routine_name(overloads: tuple[Routine, ...]) -> str:
    return overloads[0].name.name


def _address(config: DataConfig) -> dict[str, Any]:
    """Return where clients find the API: as a proxy in front of it is called, or where it listens."""
    if not config.openapi_server_proxy_uri:
        host = f"[{config.server_host}]" if ":" in config.server_host else config.server_host
        return {"host": f"{host}:{config.server_port}", "basePath": "/", "schemes": ["http"]}
    proxy = urlsplit(config.openapi_server_proxy_uri)
    host = proxy.netloc.rpartition("@")[2]
    port = "" if proxy.port is not None else {"http": ":80", "https": ":443"}.get(proxy.scheme, "")
    return {"host": f"{host}{port}", "basePath": proxy.path or "/", "schemes": [proxy.scheme]}


def _split(comment: str | None) -> tuple[str | None, str | None]:
    """Return the first line of a comment, and what stands below it."""
    first, _, rest = (comment or "").partition("\n")
    return first if comment is not None else None, rest.lstrip("\n") or None


def _pointer(kind: str, name: str) -> dict[str, str]:
    """Refer to a definition or parameter, whatever characters its name has."""
    # Most need nothing of that, and a large schema has a hundred thousand of them.
    plain = name if _PLAIN.fullmatch(name) else quote(name.replace("~", "~0").replace("/", "~1"), safe=".~")
    return {"$ref": f"#/{kind}/{plain}"}


def _operations(table: Table, comments: SchemaComments) -> dict[str, Any]:
    name = table.name.name
    summary, description = _split(comments.relations.get(name))
    common = without_none(tags=[name], summary=summary, description=description)
    rows = _pointers(*(f"rowFilter.{name}.{column}" for column in table.columns))
    listed = {"type": "array", "items": _pointer("definitions", name)}
    answers = {"200": {"description": "OK", "schema": listed}, "206": {"description": "Partial Content"}}
    found = {"get": {**common, "parameters": [*rows, *_pointers(*READ)], "responses": answers}}
    for verb, event, given, responses in (
        ("post", INSERT, _pointers(f"body.{name}", "select", "preferPost"), CREATED),
        ("delete", DELETE, [*rows, *_pointers("preferReturn")], NO_CONTENT),
        ("patch", UPDATE, [*rows, *_pointers(f"body.{name}", "preferReturn")], NO_CONTENT),
    ):
        if table.events & event:
            found[verb] = {**common, "parameters": given, "responses": responses}
    return found


def _pointers(*names: str) -> list[dict[str, str]]:
    return [_pointer("parameters", name) for name in names]


def _table_parameters(table: Table, comments: SchemaComments) -> list[tuple[str, dict[str, Any]]]:
    name = table.name.name
    body = {
        "name": name, "description": name, "required": False, "in": "body", "schema": _pointer("definitions", name),
    }  # fmt: skip
    filters = [
        (
            f"rowFilter.{name}.{column}",
            without_none(
                name=column,
                description=comments.columns.get((name, column)),
                required=False,
                in_="query",
                type="string",
            ),
        )
        for column in table.columns
    ]
    return [(f"body.{name}", body), *filters]


def _calls(routine: Routine, comments: SchemaComments, path: tuple[str, ...]) -> dict[str, Any]:
    summary, description = _split(comments.of_routine(routine))
    common = without_none(
        tags=[f"(rpc) {routine.name.name}"], summary=summary, description=description, produces=[JSON, STRIPPED, OBJECT]
    )
    given = {"name": "args", "required": True, "in": "body", "schema": arguments(routine, comments, path)}
    found = {"post": {**common, "parameters": [given, *_pointers("preferParams")], "responses": OK}}
    if routine.volatility != "v":
        asked = [query_parameter(each, path) for each in routine.parameters if each.name]
        found["get"] = {**common, "parameters": asked, "responses": OK}
    return found
