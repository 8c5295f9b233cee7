"""The routes by which a bucket's objects are listed, as folders show them or as keys."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from psycopg import sql

from app.storage.errors import StorageError, invalid_request
from app.storage.moments import moment
from app.storage.serve.call import StorageAnswer, StorageRoute
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.storage.serve.call import StorageCall

SQL = statements(__file__)
COLUMNS = frozenset({"name", "updated_at", "created_at", "last_accessed_at"})
COLUMNS_V2 = frozenset({"name", "updated_at", "created_at"})
LIMIT, LIMIT_MAX, OFFSET_MAX, LIMIT_V2 = 100, 1500, 2**31 - 1, 1000
TIMES = ("updated_at", "created_at", "last_accessed_at")


def list_folder(call: StorageCall) -> StorageAnswer:
    """Answer one page of a folder: objects, and the folders in it; names are relative to it."""
    body = call.json()
    prefix = _text(body, "prefix")
    column, order = _sorting(body, COLUMNS)
    limit = body.get("limit")
    values = {
        "prefix": prefix if not prefix or prefix.endswith("/") else f"{prefix}/",
        "bucket": call.path["bucket"],
        "limit": LIMIT if limit is None else min(_whole(limit, "limit", 1), LIMIT_MAX),
        "offset": _whole(body.get("offset") or 0, "offset", 0),
        "search": _text(body, "search"),
        "column": column,
        "order": order,
    }
    with call.transaction(once=True) as tx:
        tx.become(call.caller)
        found = tx.rows(SQL.search, values)
    return StorageAnswer([_entry(row) for row in found])


def list_keys(call: StorageCall) -> StorageAnswer:
    """Answer one page of keys behind a cursor; with a delimiter, folders stand for what is in them."""
    body = call.json()
    column, order = _sorting(body, COLUMNS_V2)
    limit = min(_whole(body["limit"], "limit", 1), LIMIT_V2) if body.get("limit") is not None else LIMIT_V2
    after, at = _cursor(_text(body, "cursor"))
    values = {
        "prefix": _text(body, "prefix"),
        "bucket": call.path["bucket"],
        "limit": limit + 1,
        "after": after,
        "at": at,
        "column": column,
        "order": order,
    }
    statement = SQL.search_v2 if body.get("with_delimiter") is True else _flat(column, order)
    with call.transaction(once=True) as tx:
        tx.become(call.caller)
        found = tx.rows(statement, values)
    page = found[:limit]
    answer: dict[str, Any] = {
        "hasNext": len(found) > limit,
        "folders": [_folder(row) for row in page if row["id"] is None],
        "objects": [{**_entry(row), "key": row["key"]} for row in page if row["id"] is not None],
    }
    if len(found) > limit:
        answer["nextCursor"] = _next_cursor(page[-1], column)
    return StorageAnswer(answer)


def _flat(column: str, order: str) -> sql.Composed:
    behind, direction = (sql.SQL("<"), sql.SQL("DESC")) if order == "desc" else (sql.SQL(">"), sql.SQL("ASC"))
    statement: sql.SQL = SQL.flat_by_name if column == "name" else SQL.flat_by_time
    return statement.format(behind=behind, direction=direction, column=sql.Identifier(column))


def _entry(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry as clients read it; a folder has nothing but its name."""
    return {
        "name": row["name"],
        "id": None if row["id"] is None else str(row["id"]),
        **{name: moment(row[name]) for name in TIMES},
        "metadata": row["metadata"],
    }


def _folder(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": row["name"], "key": row["key"], "id": None, **dict.fromkeys(TIMES), "metadata": None}


def _sorting(body: Mapping[str, Any], columns: frozenset[str]) -> tuple[str, str]:
    given = body.get("sortBy")
    if given is None:
        return "name", "asc"
    if not isinstance(given, dict):
        raise invalid_request("body/sortBy must be object")
    column, order = given.get("column") or "name", given.get("order") or "asc"
    if column not in columns or order not in ("asc", "desc"):
        raise invalid_request("body/sortBy/column must be equal to one of the allowed values")
    return column, order


def _next_cursor(row: Mapping[str, Any], column: str) -> str:
    at = "" if column == "name" else row[column].isoformat()
    return base64.urlsafe_b64encode(json.dumps([row["name"], at]).encode()).decode()


def _cursor(text: str) -> tuple[str, str]:
    if not text:
        return "", ""
    try:
        after, at = json.loads(base64.urlsafe_b64decode(text.encode("ascii")))
    except (ValueError, TypeError, UnicodeError) as error:
        raise _bad_cursor() from error
    if not isinstance(after, str) or not isinstance(at, str):
        raise _bad_cursor()
    return after, at


def _bad_cursor() -> StorageError:
    return StorageError(400, "InvalidParameter", "InvalidParameter", "Invalid cursor")


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > 4096:
        raise invalid_request(f"body/{name} must be string")
    return value


def _whole(value: Any, name: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= OFFSET_MAX:
        raise invalid_request(f"body/{name} must be >= {least}")
    return value


ROUTES = (
    StorageRoute("POST", "/object/list/<bucket>", "token", "object.list", list_folder),
    StorageRoute("POST", "/object/list-v2/<bucket>", "token", "object.list_v2", list_keys),
)
