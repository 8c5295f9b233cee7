"""The routes by which an object is stored whole: POST for a new one, PUT for one that takes another's place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.storage.names import checked_key
from app.storage.objects.incoming import incoming_of
from app.storage.objects.storing import Storing, Target
from app.storage.serve.call import StorageAnswer, StorageRoute

if TYPE_CHECKING:
    from app.storage.serve.call import StorageCall


def upload(call: StorageCall) -> StorageAnswer:
    """Store an object; an existing one only where the client says so."""
    return _stored(call, upsert=says_upsert(call))


def update(call: StorageCall) -> StorageAnswer:
    """Store an object in whatever place."""
    return _stored(call, upsert=True)


def says_upsert(call: StorageCall) -> bool:
    """Return whether a request may put something in the place of what is there."""
    return (call.headers.get("X-Upsert") or "").strip().lower() == "true"


def _stored(call: StorageCall, *, upsert: bool) -> StorageAnswer:
    bucket, key = call.path["bucket"], checked_key(call.path["key"])
    target = Target(bucket, key, upsert, call.caller, call.asked)
    stored = Storing(call.project, call.services, target).store(incoming_of(call))
    return StorageAnswer({"Id": stored.id, "Key": f"{bucket}/{key}"})


ROUTES = (
    StorageRoute("POST", "/object/<bucket>/<path:key>", "token", "object.upload", upload),
    StorageRoute("PUT", "/object/<bucket>/<path:key>", "token", "object.upload_update", update),
)
