"""One upload in parts: its row says how much has come and is lasting; its bytes lie beside the objects'."""

from __future__ import annotations

import json
import uuid
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from app.storage.objects.digests import ByteDigests, Digests
from app.storage.objects.incoming import Incoming
from app.storage.objects.storing import Storing, Target
from app.storage.resumable.headers import refused
from app.storage.serve.caller import Caller
from infra.blobs.store import BlobMissing, NoRoom
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.storage.errors import StorageError
    from app.storage.objects.limits import Limits
    from app.storage.serve.call import StorageCall
    from app.storage.serve.transaction import StorageTransaction

SQL = statements(__file__)
LIVES = timedelta(hours=24)
READ_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Upload:
    """An upload as its row says it.

    stated    the client's own words of it, which it may ask for
    received  how many bytes have come and stay
    """

    id: str
    target: Target
    length: int
    received: int
    incoming: Incoming
    stated: str
    planned: tuple[str, str]
    expires_at: datetime
    is_finished: bool

    def storing(self, call: StorageCall) -> Storing:
        """Return what stores its object."""
        return Storing(call.project, call.services, self.target, self.planned)


def create(call: StorageCall, target: Target, incoming: Incoming, stated: str) -> Upload:
    """Begin an upload of so many bytes as are said. Raises StorageError when the caller may not store them."""
    upload = Upload(
        id=str(uuid.uuid4()),
        target=target,
        length=incoming.length or 0,
        received=0,
        incoming=incoming,
        stated=stated,
        planned=(str(uuid.uuid4()), str(uuid.uuid4())),
        expires_at=datetime.fromtimestamp(call.services.clock(), UTC) + LIVES,
        is_finished=False,
    )
    limits = upload.storing(call).permit(incoming)
    with call.transaction() as tx:
        if limits.left is not None:
            limits.check_length(upload.length + tx.value(SQL.coming))
        tx.execute(SQL.insert, _values(upload))
    call.services.counts.upload("begun")
    return upload


def find(call: StorageCall, upload_id: str) -> Upload:
    """Return an upload, whosever it is. Raises StorageError."""
    with call.transaction() as tx:
        row = tx.row(SQL.find, {"id": upload_id}) if _is_uuid(upload_id) else None
    if row is None or row["expires_at"].timestamp() < call.services.clock():
        raise _not_there()
    role = row["role"]
    caller = Caller(role, call.project.spec.roles.get(role, ""), {"sub": row["owner_id"]})
    return _upload(row, Target(row["bucket_id"], row["name"], row["upsert"], caller, call.asked))


def owned(upload: Upload, target: Target) -> Upload:
    """Return an upload as whoever goes on with it, who has to be whose it is. Raises StorageError."""
    begun, now = upload.target.caller, target.caller
    if (begun.role, begun.owner_id) != (now.role, now.owner_id) and not now.is_service:
        raise _not_there()
    return replace(upload, target=replace(upload.target, caller=now))


def append(call: StorageCall, upload: Upload, chunks: Iterator[bytes], limits: Limits) -> int:
    """Add what comes, and return how much there is then; what has come stays, also when no more does.

    Raises StorageError.
    """
    place = call.services.blobs(call.project.id)
    writer = place.resume(upload.id, upload.received)
    try:
        for part in chunks:
            if writer.written + len(part) > upload.length:
                raise refused(413, "The upload is longer than was said")
            if writer.written == 0:
                limits.check_content(part)
            writer.write(part)
    except NoRoom as error:
        raise refused(507, "There is no room for it") from error
    finally:
        received = writer.written
        writer.keep()
        with call.transaction() as tx:
            tx.execute(SQL.received, {"id": upload.id, "before": upload.received, "received": received})
    return received


def finish(call: StorageCall, upload: Upload) -> None:
    """Make the object of an upload that has come whole; whoever is killed does it again. Raises StorageError."""
    storing, place = upload.storing(call), call.services.blobs(call.project.id)
    try:
        if place.size(storing.name) != upload.length:
            raise refused(500, "The upload is not what has come")
    except BlobMissing:
        place.resume(upload.id, upload.length).commit(storing.name)

    def claim(tx: StorageTransaction) -> None:
        # Another who finishes it waits here for us, and then knows.
        if not tx.execute(SQL.finish, {"id": upload.id}):
            raise _IsFinished

    with suppress(_IsFinished):
        storing.put_in_place(upload.incoming, _digests(call, storing.name), claim)
        call.services.counts.upload("finished")


class _IsFinished(Exception):
    """Somebody else has made the object."""


def drop(call: StorageCall, upload: Upload) -> None:
    """End an upload and drop what has come."""
    with call.transaction() as tx:
        tx.execute(SQL.delete, {"id": upload.id})
    call.services.blobs(call.project.id).drop_partial(upload.id)
    call.services.counts.upload("ended")


def _digests(call: StorageCall, name: str) -> Digests:
    with call.services.blobs(call.project.id).open(name) as file, closing(ByteDigests()) as digests:
        while part := file.read(READ_BYTES):
            digests.update(part)
        return digests.found()


def _values(upload: Upload) -> dict[str, Any]:
    incoming, target = upload.incoming, upload.target
    metadata = incoming.user_metadata
    return {
        "id": upload.id,
        "bucket": target.bucket,
        "name": target.key,
        "owner_id": target.caller.owner_id,
        "role": target.caller.role,
        "upsert": target.upsert,
        "length": upload.length,
        "content_type": incoming.content_type,
        "cache_control": incoming.cache_control,
        "user_metadata": None if metadata is None else json.dumps(metadata),
        "robots": incoming.robots,
        "stated": upload.stated,
        "object_id": upload.planned[0],
        "version": upload.planned[1],
        "expires_at": upload.expires_at,
    }


def _upload(row: dict[str, Any], target: Target) -> Upload:
    return Upload(
        id=str(row["id"]),
        target=Target(row["bucket_id"], row["name"], row["upsert"], target.caller, target.asked),
        length=row["length"],
        received=row["received"],
        incoming=Incoming(
            content_type=row["content_type"],
            cache_control=row["cache_control"],
            user_metadata=row["user_metadata"],
            robots=row["robots"],
            length=row["length"],
            chunks=iter(()),
        ),
        stated=row["stated"],
        planned=(str(row["object_id"]), row["version"]),
        expires_at=row["expires_at"],
        is_finished=row["finished_at"] is not None,
    )


def _not_there() -> StorageError:
    return refused(404, "The file for this url was not found")


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
