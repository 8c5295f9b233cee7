"""The routes by which an object is read: its bytes, or what is known of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from app.storage.moments import moment
from app.storage.objects.found import FoundObject, object_for_caller, opened, public_object
from app.storage.objects.sending import sent
from app.storage.serve.call import StorageAnswer, StorageRoute

if TYPE_CHECKING:
    from app.storage.serve.call import StorageCall
    from app.storage.serve.project import StorageTransaction


def read(call: StorageCall) -> StorageAnswer:
    """Answer an object's bytes to whoever may see it."""
    return sent(call, *opened(call, partial(_for_caller, call)))


def read_public(call: StorageCall) -> StorageAnswer:
    """Answer the bytes of an object of a public bucket, whoever asks."""
    return sent(call, *opened(call, partial(_public, call)))


def info(call: StorageCall) -> StorageAnswer:
    """Answer what is known of an object to whoever may see it."""
    with call.transaction() as tx:
        return StorageAnswer(described(_for_caller(call, tx)))


def info_public(call: StorageCall) -> StorageAnswer:
    """Answer what is known of an object of a public bucket, whoever asks."""
    with call.transaction() as tx:
        return StorageAnswer(described(_public(call, tx)))


def described(found: FoundObject) -> dict[str, Any]:
    """Return an object as clients read it; its metadata are the client's own."""
    return {
        "id": found.id,
        "name": found.key,
        "version": found.version,
        "bucket_id": found.bucket,
        "size": found.metadata.get("size"),
        "content_type": found.content_type,
        "cache_control": found.cache_control,
        "etag": found.etag,
        "metadata": found.user_metadata or {},
        "last_modified": moment(found.updated_at),
        "created_at": moment(found.created_at),
    }


def _for_caller(call: StorageCall, tx: StorageTransaction) -> FoundObject:
    return object_for_caller(call, tx, call.path["bucket"], call.path["key"])


def _public(call: StorageCall, tx: StorageTransaction) -> FoundObject:
    return public_object(tx, call.path["bucket"], call.path["key"])


ROUTES = (
    StorageRoute("GET", "/object/public/<bucket>/<path:key>", "open", "object.get_public", read_public),
    StorageRoute("GET", "/object/authenticated/<bucket>/<path:key>", "token", "object.get_authenticated", read),
    StorageRoute("GET", "/object/<bucket>/<path:key>", "maybe", "object.get_authenticated", read),
    StorageRoute("GET", "/object/info/public/<bucket>/<path:key>", "open", "object.info_public", info_public),
    StorageRoute("GET", "/object/info/authenticated/<bucket>/<path:key>", "token", "object.info_authenticated", info),
    # The originals: nobody transforms pictures yet, and a client is better served by a large one than by none.
    StorageRoute("GET", "/render/image/public/<bucket>/<path:key>", "open", "render.image_public", read_public),
    StorageRoute("GET", "/render/image/authenticated/<bucket>/<path:key>", "token", "render.image_authenticated", read),
    StorageRoute("GET", "/object/info/<bucket>/<path:key>", "token", "object.info_authenticated", info),
)
