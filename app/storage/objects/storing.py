"""Stores an object: its rights first, then its bytes, then its row; whoever is killed in between has stored nothing.

The bytes get a name of their own. The row that names them is what makes them an object, and one transaction changes
it, so readers see what was there before or what is there now. Bytes without a row are found by the sweep.
"""

from __future__ import annotations

import json
import uuid
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

from app.storage.errors import StorageError, over_quota
from app.storage.moments import moment
from app.storage.objects import content
from app.storage.objects.bytes_left import remove_dead_bytes
from app.storage.objects.digests import ByteDigests, Digests
from app.storage.objects.limits import Limits, check_quota, limits_of
from infra.blobs.store import NoRoom, blob_name
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.storage.objects.incoming import Incoming
    from app.storage.serve.caller import Caller
    from app.storage.serve.project import Asked, StorageProject
    from app.storage.serve.services import StorageServices
    from app.storage.serve.transaction import StorageTransaction
    from infra.blobs.store import BlobWriter

SQL = statements(__file__)


@dataclass(frozen=True)
class Target:
    """Where an object goes, and as whose.

    upsert  whether it may take the place of one that is there
    caller  as whom policies decide
    """

    bucket: str
    key: str
    upsert: bool
    caller: Caller
    asked: Asked


@dataclass(frozen=True)
class Stored:
    """An object that was stored."""

    id: str
    version: str
    metadata: dict[str, Any]


class Storing:
    """Stores one object.

    planned  the id and version that it is to have, where somebody has chosen them already
    """

    def __init__(
        self,
        project: StorageProject,
        services: StorageServices,
        target: Target,
        planned: tuple[str, str] | None = None,
    ) -> None:
        self._project, self._target, self._services = project, target, services
        self._place = services.blobs(project.id)
        self._planned = planned
        self._id, self._version = planned or (str(uuid.uuid4()), str(uuid.uuid4()))

    def permit(self, incoming: Incoming, *, typed: bool = True) -> Limits:
        """Have Postgres say whether the caller may store this, before its bytes are read. Raises StorageError.

        typed  whether its media type is known already
        """
        with self._project.rehearsal(self._target.asked) as tx:
            limits = limits_of(tx, self._project, self._target.bucket, self._target.key)
            if typed:
                limits.check_type(incoming.content_type)
            if incoming.length is not None:
                limits.check_length(incoming.length)
            row_id = self._put_row(tx, incoming, incoming.metadata())
            tx.become_storage()
            check_quota(tx, self._project)
        if self._planned is None:
            # The row that is there keeps its id, by which its bytes are named.
            self._id = row_id
        return limits

    def store(self, incoming: Incoming, first: Callable[[StorageTransaction], None] = lambda _tx: None) -> Stored:
        """Store what comes. Raises StorageError; nothing is changed then. first: as `put_in_place` takes it."""
        limits = self.permit(incoming)
        writer = self._place.begin()
        try:
            digests = receive(writer, incoming, limits)
            writer.commit(self.name)
        except NoRoom as error:
            raise over_quota() from error
        finally:
            writer.discard()
        return self.put_in_place(incoming, digests, first)

    def put_in_place(
        self, incoming: Incoming, digests: Digests, first: Callable[[StorageTransaction], None] = lambda _tx: None
    ) -> Stored:
        """Make the object of bytes that are there under `name`. Raises StorageError; they are gone then.

        first  what the transaction begins with, as Storage's login
        """
        planned, metadata = self.name, stored_metadata(incoming, digests)
        try:
            with self._project.transaction(self._target.asked) as tx:
                first(tx)
                known = replace(incoming, length=digests.size)
                row_id = self._put_row(tx, known, metadata)
                if row_id != self._id:  # another came meanwhile: the bytes are named after its row
                    self._place.copy(planned, blob_name(row_id, self._version))
                tx.become_storage()
                check_quota(tx, self._project)
                # What an object replaces dies with it; a new one replaces nothing.
                number = tx.number if self._target.upsert else None
        except StorageError:
            # Postgres has said no. Where it said nothing, the row may be there, and the sweep will know.
            self._place.delete(planned)
            raise
        if row_id != self._id:
            self._place.delete(planned)
        if number is not None:
            remove_dead_bytes(self._project, self._services, number)
        self._services.counts.objects("stored")
        return Stored(row_id, self._version, metadata)

    @property
    def name(self) -> str:
        """The name of the bytes."""
        return blob_name(self._id, self._version)

    def _put_row(self, tx: StorageTransaction, incoming: Incoming, metadata: dict[str, Any]) -> str:
        target = self._target
        tx.become(target.caller)
        values = {
            "id": self._id,
            "bucket": target.bucket,
            "name": target.key,
            "owner_id": target.caller.owner_id,
            "version": self._version,
            "metadata": json.dumps(metadata),
            "user_metadata": None if incoming.user_metadata is None else json.dumps(incoming.user_metadata),
        }
        if target.upsert:
            return str(tx.value(SQL.upsert, values))
        # Who may insert need not be able to see: nothing is read back.
        tx.execute(SQL.insert, values)
        return self._id


def receive(writer: BlobWriter, incoming: Incoming, limits: Limits) -> Digests:
    """Write bytes as they come, and hash them. Raises StorageError for too many, or of a type that is not taken."""
    with closing(ByteDigests(compared=incoming.compares_md5)) as digests:
        for number, part in enumerate(_regrouped(incoming.chunks)):
            if number == 0:
                limits.check_content(part[: content.BEGINNING_BYTES])
            digests.update(part)
            limits.check_length(digests.size)
            writer.write(part)
        return digests.found()


def stored_metadata(incoming: Incoming, digests: Digests) -> dict[str, Any]:
    """Return what is kept of an object beside its row, in the members that clients know."""
    found = {
        **incoming.more,
        "eTag": f'"{incoming.etag or digests.etag}"',
        "size": digests.size,
        "mimetype": incoming.content_type,
        "cacheControl": incoming.cache_control,
        "lastModified": moment(datetime.now(UTC)),
        "contentLength": digests.size,
        "httpStatusCode": 200,
        "sha256": digests.sha256,
    }
    return found if incoming.robots is None else {**found, "xRobotsTag": incoming.robots}


def _regrouped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Return the same bytes, the first part long enough to see what they are."""
    beginning = b""
    for part in chunks:
        beginning += part
        if len(beginning) >= content.BEGINNING_BYTES:
            break
    return chain([beginning] if beginning else [], chunks)
