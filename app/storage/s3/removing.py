"""Objects that are removed, one or up to a thousand: what is not there, or not to be seen, is none to anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.storage.objects import removing
from app.storage.objects.limits import PLACEHOLDER
from app.storage.s3 import errors, headers
from app.storage.s3.buckets import answer
from app.storage.s3.xml import children, document, parsed_body, text_of
from app.storage.serve.call import StorageAnswer
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.storage.serve.call import StorageCall

SQL = statements(__file__)
KEYS_MAX = 1000


def remove(call: StorageCall) -> StorageAnswer:
    """Remove an object; one that is not there has been removed."""
    key = headers.key_of(call)
    if _left(call, [key], removing.remove_objects(call, call.path["bucket"], [key])):
        raise errors.access_denied()
    return StorageAnswer(status=204)


def remove_many(call: StorageCall) -> StorageAnswer:
    """Remove objects, and answer of each whether it is gone."""
    body = parsed_body(call, "Delete")
    keys = [text_of(each, "Key") for each in children(body, "Object")]
    if not keys or len(keys) > KEYS_MAX or not all(keys):
        raise errors.malformed_xml()
    if any(text_of(each, "VersionId") not in (None, "", "null") for each in children(body, "Object")):
        raise errors.not_implemented("Deleting a version")
    named = {str(key): f"{key}{PLACEHOLDER}" if str(key).endswith("/") else str(key) for key in keys}
    left = _left(call, list(named.values()), removing.remove_objects(call, call.path["bucket"], [*named.values()]))
    gone = [{"Key": key} for key, name in named.items() if name not in left]
    kept = [
        {"Key": key, "Code": "AccessDenied", "Message": "Access Denied"} for key, name in named.items() if name in left
    ]
    is_quiet = (text_of(body, "Quiet") or "").strip().lower() == "true"
    return answer(document("DeleteResult", {"Deleted": [] if is_quiet else gone, "Error": kept}))


def _left(call: StorageCall, keys: list[str], removed: Sequence[dict[str, Any]]) -> set[str]:
    """Return which keys the caller sees, and may not remove."""
    rest = sorted(set(keys) - {row["name"] for row in removed})
    if not rest:
        return set()
    with call.transaction() as tx:
        tx.become(call.caller)
        return {row["name"] for row in tx.rows(SQL.seen, {"bucket": call.path["bucket"], "keys": rest})}
