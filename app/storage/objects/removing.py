"""The routes by which objects are removed: their rows in one transaction, and then their bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.storage.errors import access_denied, invalid_request, no_such_bucket
from app.storage.moments import moment
from app.storage.objects.bytes_left import remove_dead_bytes
from app.storage.objects.found import own_object
from app.storage.serve.call import StorageAnswer, StorageRoute
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.storage.serve.call import StorageCall

SQL = statements(__file__)
KEYS_MAX, KEYS_AT_ONCE = 100_000, 1000


def remove(call: StorageCall) -> StorageAnswer:
    """Remove one object."""
    remove_object(call, call.path["bucket"], call.path["key"])
    return StorageAnswer({"message": "Successfully deleted"})


def remove_object(call: StorageCall, bucket: str, key: str) -> None:
    """Remove an object as the caller. Raises StorageError."""
    with call.transaction() as tx:
        found = own_object(call, tx, bucket, key)
        if not tx.execute(SQL.one, {"id": found.id}):
            raise access_denied("Access denied")
        tx.become_storage()
        number = tx.number
    remove_dead_bytes(call.project, call.services, number)
    call.services.counts.objects("removed")


def remove_many(call: StorageCall) -> StorageAnswer:
    """Remove the objects of these keys that the caller may remove, and answer which those were."""
    keys = call.json().get("prefixes")
    if not isinstance(keys, list) or not keys or not all(isinstance(key, str) for key in keys):
        raise invalid_request("body/prefixes must be array of strings")
    if len(keys) > KEYS_MAX:
        raise invalid_request(f"body/prefixes must not have more than {KEYS_MAX} items")
    return StorageAnswer([_removed(row) for row in remove_objects(call, call.path["bucket"], keys)])


def remove_objects(call: StorageCall, bucket: str, keys: list[str]) -> list[dict[str, Any]]:
    """Remove those objects of these keys that the caller may remove; return their rows. Raises StorageError."""
    with call.transaction() as tx:
        if tx.value(SQL.bucket, {"bucket": bucket}) is None:
            raise no_such_bucket()
        tx.become(call.caller)
        # An answer has a limit: what is removed of many keys comes a part at a time.
        parts = (keys[begin : begin + KEYS_AT_ONCE] for begin in range(0, len(keys), KEYS_AT_ONCE))
        removed = [row for part in parts for row in tx.rows(SQL.many, {"bucket": bucket, "keys": part})]
        tx.become_storage()
        number = tx.number
    if removed:
        remove_dead_bytes(call.project, call.services, number)
        call.services.counts.objects("removed", len(removed))
    return removed


def _removed(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": row["name"],
        "bucket_id": row["bucket_id"],
        "owner": row["owner_id"] or "",
        "owner_id": row["owner_id"] or "",
        "version": row["version"],
        "id": str(row["id"]),
        **{name: moment(row[name]) for name in ("updated_at", "created_at", "last_accessed_at")},
        "metadata": row["metadata"],
        "user_metadata": row["user_metadata"],
    }


ROUTES = (
    StorageRoute("DELETE", "/object/<bucket>", "token", "object.delete_many", remove_many),
    StorageRoute("DELETE", "/object/<bucket>/<path:key>", "token", "object.delete", remove),
)
