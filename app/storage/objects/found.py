"""Finds an object as those see it who may: a public bucket's is everybody's, others are what policies say."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from app.storage.errors import no_such_bucket, no_such_object
from app.storage.objects.incoming import NO_CACHE, OCTETS, header_values
from infra.blobs.store import BlobMissing, blob_name
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from datetime import datetime

    from psycopg import sql

    from app.storage.serve.call import StorageCall
    from app.storage.serve.transaction import StorageTransaction

SQL = statements(__file__)
# Between its row and its bytes an object may be replaced; then it is looked for again.
ROUNDS = 5


@dataclass(frozen=True)
class FoundObject:
    """An object's row."""

    id: str
    bucket: str
    key: str
    version: str
    created_at: datetime
    updated_at: datetime
    metadata: dict[str, Any]
    user_metadata: dict[str, Any] | None

    @classmethod
    def of(cls, row: dict[str, Any]) -> FoundObject:
        """Read a row."""
        return cls(
            id=str(row["id"]),
            bucket=row["bucket_id"],
            key=row["name"],
            version=row["version"] or "",
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            metadata=dict(header_values(row["metadata"])),
            user_metadata=row["user_metadata"],
        )

    @property
    def blob(self) -> str:
        """The name of its bytes. Raises BlobMissing."""
        return blob_name(self.id, self.version)

    @property
    def etag(self) -> str:
        """Its entity tag, with the quotes."""
        return str(self.metadata.get("eTag") or f'"{self.version}"')

    @property
    def content_type(self) -> str:
        """Its media type, as it was stored."""
        return str(self.metadata.get("mimetype") or OCTETS)

    @property
    def cache_control(self) -> str:
        """For how long others may keep it, as it was stored."""
        return str(self.metadata.get("cacheControl") or NO_CACHE)


def public_object(tx: StorageTransaction, bucket: str, key: str) -> FoundObject:
    """Return an object of a public bucket. Raises StorageError."""
    buckets, objects = tx.together((SQL.is_public, {"bucket": bucket}), _asked(bucket, key))
    if not buckets or not buckets[0]["public"]:
        raise no_such_bucket()
    return _first(objects)


def object_for_caller(call: StorageCall, tx: StorageTransaction, bucket: str, key: str) -> FoundObject:
    """Return an object as whoever asks may see it: without a token only a public bucket's. Raises StorageError."""
    caller = call.caller
    if not caller.is_known:
        return public_object(tx, bucket, key)
    becoming = SQL.become_unless_public, {"bucket": bucket, **tx.rights_of(caller)}
    buckets, objects = tx.together(becoming, _asked(bucket, key))
    if not buckets:
        raise no_such_bucket()
    return _first(objects)


def own_object(call: StorageCall, tx: StorageTransaction, bucket: str, key: str) -> FoundObject:
    """Return an object that policies let the caller see. Raises StorageError."""
    tx.become(call.caller)
    return _first(tx.together(_asked(bucket, key))[0])


def signed_object(tx: StorageTransaction, bucket: str, key: str) -> FoundObject:
    """Return an object that a signature names: who signed could see it. Raises StorageError."""
    return _first(tx.together(_asked(bucket, key))[0])


def opened(call: StorageCall, find: Any) -> tuple[FoundObject, IO[bytes]]:
    """Return an object with its bytes, opened. find: finds it in a transaction. Raises StorageError."""
    place = call.services.blobs(call.project.id)
    for _ in range(ROUNDS):
        with call.transaction(once=True) as tx:
            found: FoundObject = find(tx)
        with suppress(BlobMissing):
            return found, place.open(found.blob)
    raise no_such_object()


def _asked(bucket: str, key: str) -> tuple[sql.Composable, dict[str, str]]:
    return SQL.object, {"bucket": bucket, "name": key}


def _first(rows: list[dict[str, Any]]) -> FoundObject:
    if not rows:
        raise no_such_object()
    return FoundObject.of(rows[0])
