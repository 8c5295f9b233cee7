"""The routes by which an object gets another name, or is there under a second one."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from app.storage.errors import StorageError, invalid_request, no_such_object
from app.storage.moments import moment
from app.storage.names import checked_key
from app.storage.objects import storing
from app.storage.objects.bytes_left import remove_dead_bytes
from app.storage.objects.found import FoundObject, own_object
from app.storage.objects.incoming import checked_mime, user_metadata_of_header
from app.storage.objects.limits import Limits, check_quota, limits_of
from app.storage.objects.uploading import says_upsert
from app.storage.serve.call import StorageAnswer, StorageRoute
from infra.blobs.store import BlobMissing, blob_name
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.storage.serve.call import StorageCall
    from app.storage.serve.transaction import StorageTransaction

SQL, STORING = statements(__file__), statements(storing.__file__)


@dataclass(frozen=True)
class Way:
    """From where to where."""

    bucket: str
    key: str
    to_bucket: str
    to_key: str

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Way:
        """Read it from a body. Raises StorageError."""
        for name in ("bucketId", "sourceKey", "destinationKey"):
            if not isinstance(body.get(name), str) or not body[name]:
                raise invalid_request(f"body must have required property '{name}'")
        to_bucket = body.get("destinationBucket") or body["bucketId"]
        if not isinstance(to_bucket, str):
            raise invalid_request("body/destinationBucket must be string")
        return cls(body["bucketId"], body["sourceKey"], to_bucket, checked_key(body["destinationKey"]))

    @property
    def goes_nowhere(self) -> bool:
        """Whether it ends where it begins."""
        return (self.bucket, self.key) == (self.to_bucket, self.to_key)


def move(call: StorageCall) -> StorageAnswer:
    """Give an object another name. Its bytes stay where they are: their name is none of a user's."""
    way = Way.of(call.json())
    with call.transaction() as tx:
        found, _ = _source(call, tx, way)
        tx.become(call.caller)
        if not way.goes_nowhere and not tx.execute(
            SQL.move, {"id": found.id, "bucket": way.to_bucket, "name": way.to_key, "owner_id": call.caller.owner_id}
        ):
            raise no_such_object()
    return StorageAnswer({"message": "Successfully moved", "Id": found.id, "Key": f"{way.to_bucket}/{way.to_key}"})


@dataclass(frozen=True)
class Copied:
    """An object that was made of another. metadata: what is kept of it; user_metadata: the client's own."""

    id: str
    version: str
    metadata: dict[str, Any]
    user_metadata: dict[str, Any] | None


def copy(call: StorageCall) -> StorageAnswer:
    """Have an object there under a second name; onto another only where the client says so."""
    body = call.json()
    way = Way.of(body)
    copied = make_copy(call, way, lambda found: _metadata(call, body, found), upsert=says_upsert(call))
    return StorageAnswer(_shown(way, copied))


def make_copy(
    call: StorageCall,
    way: Way,
    kept: Callable[[FoundObject], tuple[dict[str, Any], dict[str, Any] | None]],
    *,
    upsert: bool,
    first: Callable[[StorageTransaction], None] = lambda _tx: None,
) -> Copied:
    """Make an object of another as the caller. Raises StorageError.

    kept   returns, of the object that is copied, what is kept of the copy: its metadata, and the client's own
    first  what the transaction begins with, as Storage's login
    """
    place = call.services.blobs(call.project.id)
    version, copy_id, made = str(uuid.uuid4()), str(uuid.uuid4()), ""
    try:
        with call.transaction() as tx:
            first(tx)
            found, limits = _source(call, tx, way)
            metadata, user_metadata = kept(found)
            if metadata.get("mimetype") != found.metadata.get("mimetype"):
                limits.check_type(str(metadata.get("mimetype")))
            copy_id = _put_copy(call, tx, way, Copied(copy_id, version, metadata, user_metadata), upsert=upsert)
            made = blob_name(copy_id, version)
            place.copy(found.blob, made)
            tx.become_storage()
            check_quota(tx, call.project)
            number = tx.number if upsert else None
    except BlobMissing as error:
        raise no_such_object() from error
    except StorageError:
        if made:
            place.delete(made)
        raise
    if number is not None:
        remove_dead_bytes(call.project, call.services, number)
    call.services.counts.objects("copied")
    return Copied(copy_id, version, metadata, user_metadata)


def _put_copy(call: StorageCall, tx: StorageTransaction, way: Way, copied: Copied, *, upsert: bool) -> str:
    """Put the copy's row in place as the caller; return its id."""
    tx.become(call.caller)
    values = {
        "id": copied.id,
        "bucket": way.to_bucket,
        "name": way.to_key,
        "owner_id": call.caller.owner_id,
        "version": copied.version,
        "metadata": json.dumps(copied.metadata),
        "user_metadata": None if copied.user_metadata is None else json.dumps(copied.user_metadata),
    }
    if upsert:
        return str(tx.value(STORING.upsert, values))
    tx.execute(STORING.insert, values)
    return copied.id


def _shown(way: Way, copied: Copied) -> dict[str, Any]:
    return {
        "Id": copied.id,
        "Key": f"{way.to_bucket}/{way.to_key}",
        "name": way.to_key,
        "bucket_id": way.to_bucket,
        "id": copied.id,
        "version": copied.version,
        "created_at": moment(datetime.now(UTC)),
        "updated_at": moment(datetime.now(UTC)),
        "last_accessed_at": None,
        "metadata": copied.metadata,
        "user_metadata": copied.user_metadata,
    }


def _source(call: StorageCall, tx: StorageTransaction, way: Way) -> tuple[FoundObject, Limits]:
    """Return what is copied or moved, and what may come where it goes. Raises StorageError."""
    limits = {bucket: limits_of(tx, call.project, bucket, way.to_key) for bucket in (way.bucket, way.to_bucket)}
    found = own_object(call, tx, way.bucket, way.key)
    if way.to_bucket != way.bucket:
        limits[way.to_bucket].check_length(int(found.metadata.get("size") or 0))
        limits[way.to_bucket].check_type(found.content_type)
    return found, limits[way.to_bucket]


def _metadata(call: StorageCall, body: Mapping[str, Any], found: FoundObject) -> tuple[dict[str, Any], Any]:
    """Return what is kept of the copy: as of what it is made of, or as the client says."""
    kept = found.metadata | {"lastModified": moment(datetime.now(UTC))}
    if body.get("copyMetadata", True) is not False:
        given, user_metadata = body.get("metadata") or {}, found.user_metadata
    else:
        given = body.get("metadata") or {}
        user_metadata = user_metadata_of_header(call.headers.get("X-Metadata"))
    if not isinstance(given, dict):
        raise invalid_request("body/metadata must be object")
    if isinstance(given.get("mimetype"), str):
        kept["mimetype"] = checked_mime(given["mimetype"])
    if isinstance(given.get("cacheControl"), str):
        kept["cacheControl"] = given["cacheControl"][:200]
    return kept, user_metadata


ROUTES = (
    StorageRoute("POST", "/object/move", "token", "object.move", move),
    StorageRoute("POST", "/object/copy", "token", "object.copy", copy),
)
