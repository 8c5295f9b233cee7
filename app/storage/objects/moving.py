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
from app.storage.objects.limits import check_quota, limits_of
from app.storage.objects.uploading import says_upsert
from app.storage.serve.call import StorageAnswer, StorageRoute
from infra.blobs.store import BlobMissing, blob_name
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.storage.serve.call import StorageCall
    from app.storage.serve.project import StorageTransaction

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
        found = _source(call, tx, way)
        tx.become(call.caller)
        if not way.goes_nowhere and not tx.execute(
            SQL.move, {"id": found.id, "bucket": way.to_bucket, "name": way.to_key, "owner_id": call.caller.owner_id}
        ):
            raise no_such_object()
    return StorageAnswer({"message": "Successfully moved", "Id": found.id, "Key": f"{way.to_bucket}/{way.to_key}"})


def copy(call: StorageCall) -> StorageAnswer:
    """Have an object there under a second name; onto another only where the client says so."""
    body = call.json()
    way, upsert = Way.of(body), says_upsert(call)
    place = call.services.blobs(call.project.id)
    version, copy_id = str(uuid.uuid4()), str(uuid.uuid4())
    made = ""
    try:
        with call.transaction() as tx:
            found = _source(call, tx, way)
            metadata, user_metadata = _metadata(call, body, found)
            tx.become(call.caller)
            values = {
                "id": copy_id,
                "bucket": way.to_bucket,
                "name": way.to_key,
                "owner_id": call.caller.owner_id,
                "version": version,
                "metadata": json.dumps(metadata),
                "user_metadata": None if user_metadata is None else json.dumps(user_metadata),
            }
            if upsert:
                copy_id = str(tx.value(STORING.upsert, values))
            else:
                tx.execute(STORING.insert, values)
            made = blob_name(copy_id, version)
            place.copy(found.blob, made)
            tx.become_storage()
            check_quota(tx, call.project)
            number = tx.number
    except BlobMissing as error:
        raise no_such_object() from error
    except StorageError:
        if made:
            place.delete(made)
        raise
    if upsert:
        remove_dead_bytes(call.project, call.services, number)
    call.services.counts.objects("copied")
    return StorageAnswer(_copied(way, copy_id, version, metadata, user_metadata))


def _copied(way: Way, copy_id: str, version: str, metadata: dict[str, Any], user_metadata: Any) -> dict[str, Any]:
    return {
        "Id": copy_id,
        "Key": f"{way.to_bucket}/{way.to_key}",
        "name": way.to_key,
        "bucket_id": way.to_bucket,
        "id": copy_id,
        "version": version,
        "created_at": moment(datetime.now(UTC)),
        "updated_at": moment(datetime.now(UTC)),
        "last_accessed_at": None,
        "metadata": metadata,
        "user_metadata": user_metadata,
    }


def _source(call: StorageCall, tx: StorageTransaction, way: Way) -> FoundObject:
    limits = {bucket: limits_of(tx, call.project, bucket, way.to_key) for bucket in (way.bucket, way.to_bucket)}
    found = own_object(call, tx, way.bucket, way.key)
    if way.to_bucket != way.bucket:
        limits[way.to_bucket].check_length(int(found.metadata.get("size") or 0))
        limits[way.to_bucket].check_type(found.content_type)
    return found


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
