"""The routes of buckets. Policies on storage.buckets decide; what is asked for and not seen is not there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.errors import UniqueViolation

from app.storage.buckets.fields import fields_of
from app.storage.errors import StorageError, access_denied, already_exists, invalid_request, no_such_bucket
from app.storage.moments import moment
from app.storage.names import checked_bucket
from app.storage.objects.bytes_left import remove_dead_bytes
from app.storage.serve.call import StorageAnswer, StorageCall, StorageRoute
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Mapping

SQL = statements(__file__)
COLUMNS = (
    "id", "name", "owner", "public", "created_at", "updated_at", "file_size_limit", "allowed_mime_types",
)  # fmt: skip
SORTED_BY = frozenset({"id", "name", "created_at", "updated_at"})
LIST_MAX, EMPTIED_AT_ONCE = 1_000_000, 1000
# Those of some versions fail on a member they do not know, and none misses the type.
_PYTHON = re.compile(r"(?:supabase-py|storage-py|storage3)\b", re.IGNORECASE)
EMPTIED = "Empty bucket has been queued. Completion may take up to an hour."


def create(call: StorageCall) -> StorageAnswer:
    """Make a bucket, whose id is its name."""
    body = call.json()
    name = checked_bucket(body.get("name"))
    bucket_id = checked_bucket(body.get("id") or name)
    if body.get("type") not in (None, "STANDARD"):
        raise StorageError(400, "InvalidRequest", "InvalidRequest", "This type of bucket is not available")
    make(call, bucket_id, name, fields_of(body, call.project.settings.file_bytes))
    return StorageAnswer({"name": bucket_id})


def make(call: StorageCall, bucket_id: str, name: str, fields: Mapping[str, Any]) -> None:
    """Make a bucket as the caller. fields: by column, what is not as usual. Raises StorageError."""
    values = {"public": False, "file_size_limit": None, "allowed_mime_types": None, **fields}
    with call.transaction() as tx:
        tx.become(call.caller)
        try:
            owner = call.caller.owner_id
            tx.execute(SQL.insert, {"id": checked_bucket(bucket_id), "name": name, "owner_id": owner, **values})
        except UniqueViolation as error:
            raise already_exists("BucketAlreadyExists") from error


def read(call: StorageCall) -> StorageAnswer:
    """Answer a bucket."""
    return StorageAnswer(shown(found(call, call.path["bucket"])))


def found(call: StorageCall, bucket: str) -> dict[str, Any]:
    """Return a bucket's row, as the caller sees it. Raises StorageError."""
    with call.transaction() as tx:
        tx.become(call.caller)
        row = tx.row(SQL.read, {"id": bucket})
    if row is None:
        raise no_such_bucket()
    return row


def list_all(call: StorageCall) -> StorageAnswer:
    """Answer the buckets that the caller sees, one page of them."""
    column = call.query.get("sortColumn") or "name"
    order = (call.query.get("sortOrder") or "asc").lower()
    if column not in SORTED_BY or order not in ("asc", "desc"):
        raise invalid_request("querystring/sortColumn must be equal to one of the allowed values")
    limit, offset = _count(call.query, "limit", LIST_MAX), _count(call.query, "offset", 0)
    search = call.query.get("search") or ""
    rows = listed(call, column=column, order=order, limit=limit, offset=offset, search=search)
    answer = [shown(row) for row in rows]
    if not _PYTHON.match(call.headers.get("X-Client-Info") or ""):
        answer = [{**bucket, "type": row["type"]} for bucket, row in zip(answer, rows, strict=True)]
    return StorageAnswer(answer)


def listed(
    call: StorageCall, *, column: str, order: str, limit: int, offset: int = 0, search: str = ""
) -> list[dict[str, Any]]:
    """Return a page of the buckets' rows that the caller sees. column: one of SORTED_BY; order: asc or desc."""
    direction = sql.SQL("DESC" if order == "desc" else "ASC")
    statement = SQL.list.format(column=sql.Identifier(column), order=direction)
    with call.transaction() as tx:
        tx.become(call.caller)
        return tx.rows(statement, {"limit": limit, "offset": offset, "search": search})


def update(call: StorageCall) -> StorageAnswer:
    """Change what is named of a bucket; null clears it."""
    fields = fields_of(call.json(), call.project.settings.file_bytes)
    if not fields:
        raise invalid_request("body must have at least one of public, file_size_limit, allowed_mime_types")
    with call.transaction() as tx:
        tx.become(call.caller)
        if not tx.execute(SQL.update.format(changes=_changes(fields)), {"id": call.path["bucket"], **fields}):
            raise no_such_bucket()
    return StorageAnswer({"message": "Successfully updated"})


def delete(call: StorageCall) -> StorageAnswer:
    """Delete a bucket that holds nothing."""
    remove(call, call.path["bucket"])
    return StorageAnswer({"message": "Successfully deleted"})


def remove(call: StorageCall, bucket: str) -> None:
    """Delete a bucket as the caller. Raises StorageError, also when something is in it."""
    with call.transaction() as tx:
        tx.become(call.caller)
        if tx.value(SQL.seen, {"id": bucket}) is None:
            raise no_such_bucket()
        tx.become_storage()
        if tx.value(SQL.holds_any, {"id": bucket}):
            raise StorageError(
                409, "ResourceNotEmpty", "ResourceNotEmpty", "The bucket you tried to delete is not empty"
            )
        tx.become(call.caller)
        if not tx.execute(SQL.delete, {"id": bucket}):
            raise no_such_bucket()


def empty(call: StorageCall) -> StorageAnswer:
    """Delete all objects of a bucket, before it is answered: listings and a delete of the bucket go by it at once."""
    if not call.caller.is_service:
        raise access_denied("Access denied: Invalid role", http=403)
    bucket = call.path["bucket"]
    with call.transaction() as tx:
        tx.become(call.caller)
        if tx.row(SQL.read, {"id": bucket}) is None:
            raise no_such_bucket()
    deleted = EMPTIED_AT_ONCE
    while deleted:
        with call.transaction() as tx:
            tx.become(call.caller)
            deleted = tx.execute(SQL.delete_some, {"bucket": bucket, "most": EMPTIED_AT_ONCE})
            tx.become_storage()
            number = tx.number
        remove_dead_bytes(call.project, call.services, number)
    return StorageAnswer({"message": EMPTIED})


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a bucket as clients read it: the owner is a text, and never null."""
    found = {name: row[name] for name in COLUMNS}
    found["owner"] = row["owner_id"] or str(row["owner"] or "")
    return found | {name: moment(row[name]) for name in ("created_at", "updated_at")}


def _changes(fields: Mapping[str, Any]) -> sql.Composed:
    assignments = (
        sql.SQL("{column} = {value}").format(column=sql.Identifier(name), value=sql.Placeholder(name))
        for name in fields
    )
    return sql.SQL(", ").join(assignments)


def _count(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise invalid_request(f"querystring/{name} must be integer")
    return int(text)


ROUTES = (
    StorageRoute("POST", "/bucket", "token", "bucket.create", create),
    StorageRoute("POST", "/bucket/", "token", "bucket.create", create),
    StorageRoute("GET", "/bucket", "token", "bucket.list", list_all),
    StorageRoute("GET", "/bucket/", "token", "bucket.list", list_all),
    StorageRoute("GET", "/bucket/<bucket>", "token", "bucket.get", read),
    StorageRoute("PUT", "/bucket/<bucket>", "token", "bucket.update", update),
    StorageRoute("DELETE", "/bucket/<bucket>", "token", "bucket.delete", delete),
    StorageRoute("POST", "/bucket/<bucket>/empty", "token", "bucket.empty", empty),
)
