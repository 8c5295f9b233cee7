"""The routes by which an object is read: its bytes, or what is known of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from app.storage.images.transformation import Transformation
from app.storage.moments import moment
from app.storage.objects.found import FoundObject, object_for_caller, opened, public_object
from app.storage.objects.sending import sent
from app.storage.serve.call import StorageAnswer, StorageRoute

if TYPE_CHECKING:
    from app.storage.serve.call import StorageCall
    from app.storage.serve.transaction import StorageTransaction


def read(call: StorageCall) -> StorageAnswer:
    """Answer an object's bytes to whoever may see it."""
    _check_head(call)
    return sent(call, *opened(call, partial(for_caller, call)))


def read_public(call: StorageCall) -> StorageAnswer:
    """Answer the bytes of an object of a public bucket, whoever asks."""
    _check_head(call)
    return sent(call, *opened(call, partial(public, call)))


def info(call: StorageCall) -> StorageAnswer:
    """Answer what is known of an object to whoever may see it."""
    Transformation.of_query(call.repeated)
    with call.transaction(once=True) as tx:
        return StorageAnswer(described(for_caller(call, tx)))


def info_public(call: StorageCall) -> StorageAnswer:
    """Answer what is known of an object of a public bucket, whoever asks."""
    Transformation.of_query(call.repeated)
    with call.transaction(once=True) as tx:
        return StorageAnswer(described(public(call, tx)))


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


def for_caller(call: StorageCall, tx: StorageTransaction) -> FoundObject:
    """Return the object of a request as its caller may see it. Raises StorageError."""
    return object_for_caller(call, tx, call.path["bucket"], call.path["key"])


def public(call: StorageCall, tx: StorageTransaction) -> FoundObject:
    """Return the object of a request, of a public bucket. Raises StorageError."""
    return public_object(tx, call.path["bucket"], call.path["key"])


def _check_head(call: StorageCall) -> None:
    """Raise StorageError for what is none of the parameters of pictures: clients ask so, before they ask for one."""
    if call.method == "HEAD":
        Transformation.of_query(call.repeated)


ROUTES = (
    StorageRoute("GET", "/object/public/<bucket>/<path:key>", "open", "object.get_public", read_public),
    StorageRoute("GET", "/object/authenticated/<bucket>/<path:key>", "token", "object.get_authenticated", read),
    StorageRoute("GET", "/object/<bucket>/<path:key>", "maybe", "object.get_authenticated", read),
    StorageRoute("GET", "/object/info/public/<bucket>/<path:key>", "open", "object.info_public", info_public),
    StorageRoute("GET", "/object/info/authenticated/<bucket>/<path:key>", "token", "object.info_authenticated", info),
    StorageRoute("GET", "/object/info/<bucket>/<path:key>", "token", "object.info_authenticated", info),
)
