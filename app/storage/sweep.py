"""Looks for what was left where somebody was killed: bytes without a row, rows without bytes, uploads that ended.

Bytes that no row names are removed once they are old enough that nobody can be about to name them. A row without bytes
is only said: what it was is not for us to forget.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from app.storage.objects.bytes_left import remove_dead_bytes
from app.storage.serve.project import Asked
from infra.blobs.store import BlobMissing, blob_name
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.storage.serve.project import StorageProject
    from app.storage.serve.services import StorageServices
    from infra.blobs.store import BlobStore

T = TypeVar("T")
log = logging.getLogger(__name__)
SQL = statements(__file__)
SWEEP = Asked("storage.internal.sweep")
# Between the last byte of an upload and its row lie two statements, each with a time-out.
YOUNG_SECONDS = 3600.0
AT_ONCE = 1000


@dataclass
class Swept:
    """What a sweep has found.

    removed  how many blobs went that no row named
    dropped  how many uploads went that nobody went on with
    missing  the objects (bucket/key) whose bytes are not there, as many as are said
    """

    removed: int = 0
    dropped: int = 0
    missing: list[str] = field(default_factory=list)


def sweep(project: StorageProject, services: StorageServices, *, young_seconds: float = YOUNG_SECONDS) -> Swept:
    """Sweep one project; several may at once. Raises StorageError, Unavailable."""
    found = Swept()
    place = services.blobs(project.id)
    found.dropped = _drop_ended_uploads(project, services, place, young_seconds)
    while removed := remove_dead_bytes(project, services):
        found.removed += removed
    found.removed += _remove_unnamed(project, place, services.clock() - young_seconds)
    _forget_pictures(project, services)
    found.missing = _missing(project, place)
    for name in found.missing:
        log.error("an object's bytes are not there", extra={"project_id": project.id, "object": name})
    return found


def _drop_ended_uploads(
    project: StorageProject, services: StorageServices, place: BlobStore, young_seconds: float
) -> int:
    with project.transaction(SWEEP) as tx:
        tx.execute(SQL.end_uploads, {"now": services.clock()})
        tx.execute(SQL.end_multipart_uploads, {"now": services.clock()})
        alive = {str(row["id"]) for row in tx.rows(SQL.uploads)}
    oldest, dropped = services.clock() - young_seconds, 0
    for entry in place.partials():
        if entry.name not in alive and entry.modified < oldest:
            place.drop_partial(entry.name)
            dropped += 1
    return dropped


def _remove_unnamed(project: StorageProject, place: BlobStore, oldest: float) -> int:
    removed = 0
    old = (entry for entry in place.blobs() if entry.modified < oldest)
    for group in _groups(old):
        names = [entry.name for entry in group]
        with project.transaction(SWEEP) as tx:
            unnamed = [row["name"] for row in tx.rows(SQL.unnamed, {"names": names})]
        for name in unnamed:
            place.delete(name)
        removed += len(unnamed)
    return removed


def _forget_pictures(project: StorageProject, services: StorageServices) -> None:
    """Drop what was made of pictures that are no more: who removed one may have been killed, or late for another."""
    for names in _groups(iter(services.pictures.results_of(project.id).blobs())):
        with project.transaction(SWEEP) as tx:
            unnamed = [row["name"] for row in tx.rows(SQL.unnamed, {"names": names})]
        for name in unnamed:
            services.pictures.forget(project.id, name)


def _missing(project: StorageProject, place: BlobStore) -> list[str]:
    """Return the objects whose bytes are not there, or are not as many as their rows say."""
    found: list[dict[str, Any]] = []
    after = "00000000-0000-0000-0000-000000000000"
    while len(found) < AT_ONCE:
        with project.transaction(SWEEP) as tx:
            rows = tx.rows(SQL.objects, {"after": after, "most": AT_ONCE})
        if not rows:
            break
        after = str(rows[-1]["id"])
        for row in rows:
            size = -1
            with suppress(BlobMissing):
                size = place.size(blob_name(str(row["id"]), row["version"] or ""))
            if size < 0 or (row["size"] is not None and size != row["size"]):
                found.append(row)
    return _still(project, found)


def _still(project: StorageProject, rows: list[dict[str, Any]]) -> list[str]:
    """Return those that are still as they were: others have been replaced or removed meanwhile."""
    with project.transaction(SWEEP) as tx:
        return [
            f"{row['bucket_id']}/{row['name']}"
            for row in rows
            if tx.value(SQL.is_still, {"id": row["id"], "version": row["version"]})
        ]


def _groups(entries: Iterator[T]) -> Iterator[list[T]]:
    while group := list(islice(entries, AT_ONCE)):
        yield group
