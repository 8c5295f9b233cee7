"""An upload in parts: each part is bytes with a row of its own until all of them become one object."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from app.storage.errors import StorageError, no_such_bucket, over_quota, too_large
from app.storage.objects.bytes_left import remove_dead_bytes
from app.storage.objects.incoming import Incoming
from app.storage.objects.storing import Storing, Target, receive
from app.storage.s3 import errors
from infra.blobs.store import BlobMissing, NoRoom, blob_name
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from app.storage.serve.call import StorageCall
    from app.storage.serve.transaction import StorageTransaction

SQL = statements(__file__)
LIVES = timedelta(days=7)
PARTS_MAX, PART_BYTES_LEAST = 10_000, 5 * 1024 * 1024
READ_BYTES = 1024 * 1024


@dataclass(frozen=True)
class MultipartUpload:
    """An upload as its row says it.

    incoming  what its object is to be, without the bytes
    etag      the entity tag of its object, with the quotes, once there is one
    """

    id: str
    bucket: str
    key: str
    incoming: Incoming
    etag: str | None
    created_at: datetime


@dataclass(frozen=True)
class Part:
    """One part. etag: the MD5 of its bytes, without quotes."""

    id: str
    number: int
    size: int
    etag: str
    version: str
    created_at: datetime

    @property
    def blob(self) -> str:
        """The name of its bytes. Raises BlobMissing."""
        return blob_name(self.id, self.version)


def create(call: StorageCall, key: str, incoming: Incoming) -> str:
    """Begin an upload of an object of the caller's; return its id. Raises StorageError when they may not store it."""
    upload_id = uuid.uuid4().hex
    _storing(call, key, upsert=True).permit(incoming)
    with call.transaction() as tx:
        values = {
            "id": upload_id,
            "bucket": call.path["bucket"],
            "key": key,
            "owner_id": call.caller.owner_id,
            "role": call.caller.role,
            "user_metadata": None if incoming.user_metadata is None else json.dumps(incoming.user_metadata),
            "metadata": json.dumps(incoming.metadata()),
            "expires_at": datetime.fromtimestamp(call.services.clock(), UTC) + LIVES,
        }
        tx.execute(SQL.insert, values)
    return upload_id


def find(call: StorageCall, upload_id: str, *, key: str) -> MultipartUpload:
    """Return an upload of this key, if it is the caller's. Raises StorageError."""
    with call.transaction() as tx:
        row = tx.row(SQL.find, {"id": upload_id, "bucket": call.path["bucket"], "key": key})
    if row is None or row["launchdb_expires_at"].timestamp() < call.services.clock():
        raise errors.no_such_upload()
    is_theirs = (row["launchdb_role"], row["owner_id"]) == (call.caller.role, call.caller.owner_id)
    if not (is_theirs or call.caller.is_service):
        raise errors.no_such_upload()
    return _upload(row)


def store_part(call: StorageCall, upload: MultipartUpload, number: int, incoming: Incoming) -> Part:
    """Store a part, in whatever place it has. Raises StorageError; nothing is changed then.

    incoming  its bytes; what they are part of is the upload's to say
    """
    if upload.etag is not None:
        raise errors.no_such_upload()
    limits = _storing(call, upload.key, upsert=True).permit(replace(upload.incoming, length=incoming.length))
    if number != 1:  # what something is, it says at its beginning
        limits = replace(limits, types=None)
    part_id, version = str(uuid.uuid4()), str(uuid.uuid4())
    place = call.services.blobs(call.project.id)
    writer = place.begin()
    try:
        digests = receive(writer, incoming, limits)
        writer.commit(blob_name(part_id, version))
    except NoRoom as error:
        raise over_quota() from error
    finally:
        writer.discard()
    part = Part(part_id, number, digests.size, digests.etag, version, datetime.now(UTC))
    try:
        _put_part(call, upload, part, bytes_max=limits.bytes_max, left=limits.left)
    except StorageError:
        place.delete(part.blob)
        raise
    return part


def _put_part(call: StorageCall, upload: MultipartUpload, part: Part, *, bytes_max: int, left: int | None) -> None:
    with call.transaction() as tx:
        # Whoever completes or aborts it waits for us, or we find that they have.
        if tx.row(SQL.lock, {"id": upload.id}) is None:
            raise errors.no_such_upload()
        replaced = tx.execute(SQL.delete_part, {"id": upload.id, "number": part.number})
        tx.execute(SQL.insert_part, {**vars(part), "upload": upload.id, "owner_id": call.caller.owner_id})
        if tx.value(SQL.size, {"id": upload.id}) > bytes_max:
            raise too_large()
        if left is not None and tx.value(SQL.coming) > left:
            raise over_quota()
        number = tx.number
    if replaced:
        remove_dead_bytes(call.project, call.services, number)


def parts_of(call: StorageCall, upload: MultipartUpload, *, after: int = 0, most: int = PARTS_MAX) -> list[Part]:
    """Return an upload's parts in their order, so many behind a number."""
    with call.transaction() as tx:
        return [_part(row) for row in tx.rows(SQL.parts, {"id": upload.id, "after": after, "most": most})]


def complete(call: StorageCall, upload: MultipartUpload, wanted: Sequence[tuple[int, str]], *, upsert: bool) -> str:
    """Make the object of these parts (number, entity tag); return its entity tag. Raises StorageError.

    Done again, as by a client that has not heard of it, it answers the same.
    """
    etag = _etag_of(wanted)
    if upload.etag is not None:
        if upload.etag != f'"{etag}"':
            raise errors.no_such_upload()
        return upload.etag
    chosen = _chosen(parts_of(call, upload), wanted)
    incoming = replace(
        upload.incoming, length=sum(part.size for part in chosen), chunks=_joined(call, chosen), etag=etag
    )
    try:
        stored = _storing(call, upload.key, upsert=upsert).store(incoming, _claim(upload, chosen, f'"{etag}"'))
    except BlobMissing as error:  # a part was replaced, or all was aborted, meanwhile
        raise errors.no_such_upload() from error
    except _Completed:
        return f'"{etag}"'
    return str(stored.metadata["eTag"])


def abort(call: StorageCall, upload: MultipartUpload) -> None:
    """End an upload, and drop its parts. Raises StorageError."""
    with call.transaction() as tx:
        if upload.etag is not None or not tx.execute(SQL.delete, {"id": upload.id}):
            raise errors.no_such_upload()
        number = tx.number
    remove_dead_bytes(call.project, call.services, number)


def listed(call: StorageCall, prefix: str, after: tuple[str, str], most: int) -> list[dict[str, Any]]:
    """Return the rows of the caller's uploads of a bucket, by their keys. after: key and id of the last."""
    with call.transaction() as tx:
        if tx.value(SQL.bucket, {"bucket": call.path["bucket"]}) is None:
            raise no_such_bucket()
        values = {
            "bucket": call.path["bucket"],
            "prefix": prefix,
            "key": after[0],
            "upload": after[1],
            "most": most,
            "all": call.caller.is_service,
            "role": call.caller.role,
            "owner_id": call.caller.owner_id,
        }
        return tx.rows(SQL.listed, values)


class _Completed(StorageError):
    """Somebody else has made the object of the same parts."""


def _claim(upload: MultipartUpload, parts: Sequence[Part], etag: str) -> Callable[[StorageTransaction], None]:
    def claim(tx: StorageTransaction) -> None:
        # Another who completes it waits here for us, and then knows.
        row = tx.row(SQL.lock_any, {"id": upload.id})
        if row is not None and row["launchdb_etag"] == etag:
            raise _Completed(200, "", "Completed", "")
        if row is None or row["launchdb_etag"] is not None:
            raise errors.no_such_upload()
        if tx.value(SQL.still_there, {"id": upload.id, "parts": [part.id for part in parts]}) != len(parts):
            raise errors.refusal("InvalidPart", INVALID_PART)
        tx.execute(SQL.finish, {"id": upload.id, "etag": etag})

    return claim


def _chosen(parts: Sequence[Part], wanted: Sequence[tuple[int, str]]) -> list[Part]:
    known = {part.number: part for part in parts}
    found = [known.get(number) for number, _ in wanted]
    chosen = [part for part, (_, etag) in zip(found, wanted, strict=True) if part is not None and part.etag == etag]
    if len(chosen) != len(wanted):
        raise errors.refusal("InvalidPart", INVALID_PART)
    if any(part.size < PART_BYTES_LEAST for part in chosen[:-1]):
        raise errors.refusal("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed object size")
    return chosen


def _joined(call: StorageCall, parts: Sequence[Part]) -> Iterator[bytes]:
    place = call.services.blobs(call.project.id)
    for part in parts:
        with place.open(part.blob) as file:
            while found := file.read(READ_BYTES):
                yield found


def _etag_of(wanted: Sequence[tuple[int, str]]) -> str:
    """Return the entity tag of an object of parts: the MD5 of theirs, and how many they are."""
    try:
        digests = b"".join(bytes.fromhex(etag) for _, etag in wanted)
    except ValueError as error:
        raise errors.refusal("InvalidPart", INVALID_PART) from error
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(wanted)}"


def _storing(call: StorageCall, key: str, *, upsert: bool) -> Storing:
    target = Target(call.path["bucket"], key, upsert, call.caller, call.asked)
    return Storing(call.project, call.services, target)


def _upload(row: dict[str, Any]) -> MultipartUpload:
    kept = row["metadata"] if isinstance(row["metadata"], dict) else {}
    more = {name: value for name, value in kept.items() if name not in ("mimetype", "cacheControl")}
    incoming = Incoming(
        content_type=kept.get("mimetype") or "",
        cache_control=kept.get("cacheControl") or "",
        user_metadata=row["user_metadata"],
        robots=None,
        length=None,
        chunks=iter(()),
        more=more,
    )
    return MultipartUpload(row["id"], row["bucket_id"], row["key"], incoming, row["launchdb_etag"], row["created_at"])


def _part(row: dict[str, Any]) -> Part:
    return Part(str(row["id"]), row["part_number"], row["size"], row["etag"], row["version"], row["created_at"])


INVALID_PART = (
    "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified "
    "entity tag may not match the part's entity tag."
)
