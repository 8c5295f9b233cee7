"""A short OpenAPI description of what a schema exposes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.data.config import DataConfig
    from app.data.plan.schema import SchemaCache, Table

TYPES = {
    "smallint": "integer", "integer": "integer", "bigint": "integer", "boolean": "boolean", "numeric": "number",
    "real": "number", "double precision": "number",
}  # fmt: skip


def swagger(schema: str, cache: SchemaCache, config: DataConfig) -> dict[str, Any]:
    """Return Swagger 2.0 with a definition for each relation and a path for each relation and function."""
    tables = {name.name: table for name, table in sorted(cache.tables.items(), key=_by_name) if name.schema == schema}
    routines = sorted({name.name for name in cache.routines if name.schema == schema})
    paths: dict[str, Any] = {"/": {"get": {"summary": "OpenAPI description (this document)"}}}
    paths |= {f"/{name}": _operations(name, table) for name, table in tables.items()}
    paths |= {f"/rpc/{name}": {"post": {"responses": {"200": {"description": "OK"}}}} for name in routines}
    return {
        "swagger": "2.0",
        "info": {"title": f"{schema} schema", "version": "1"},
        "host": config.openapi_server_proxy_uri or f"{config.server_host}:{config.server_port}",
        "paths": paths,
        "definitions": {name: _definition(table) for name, table in tables.items()},
    }


def _by_name(entry: Any) -> str:
    return str(entry[0].name)


def _operations(name: str, table: Table) -> dict[str, Any]:
    verbs = ["get", *(verb for verb, bit in (("post", 8), ("delete", 16), ("patch", 4)) if table.events & bit)]
    return {verb: {"tags": [name], "responses": {"200": {"description": "OK"}}} for verb in verbs}


def _definition(table: Table) -> dict[str, Any]:
    columns = {
        each.name: {"format": each.nominal, "type": TYPES.get(each.type, "string")} for each in table.columns.values()
    }
    required = [each.name for each in table.columns.values() if not each.nullable]
    return {"type": "object", "properties": columns, **({"required": required} if required else {})}
