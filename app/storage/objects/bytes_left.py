"""Bytes that a committed transaction has left without a row: removed at once, or by a sweep if we are killed first."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from app.storage.errors import StorageError
from app.storage.serve.project import Asked
from infra.blobs.store import BlobMissing, blob_name
from infra.errors import InfraError
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from app.storage.serve.project import StorageProject
    from app.storage.serve.services import StorageServices

log = logging.getLogger(__name__)
SQL = statements(__file__)
REMOVAL = Asked("storage.internal.remove_bytes")


def remove_dead_bytes(project: StorageProject, services: StorageServices, transaction: str | None = None) -> int:
    """Remove the bytes that died in this transaction, or in any when none is named; return how many blobs.

    What cannot be done now is done by a sweep: whoever calls has answered to what was asked already.
    """
    removed = 0
    try:
        with project.transaction(REMOVAL) as tx:
            # Whoever removes the same meanwhile waits for us, and then finds nothing.
            dead = tx.rows(SQL.dead, {"transaction": transaction})
            place = services.blobs(project.id)
            for row in dead:
                with suppress(BlobMissing):
                    name = blob_name(str(row["object_id"]), row["version"])
                    services.pictures.forget(project.id, name)
                    place.delete(name)
                removed += 1
            if dead:
                tx.execute(SQL.forget, {"places": [row["place"] for row in dead]})
    except (StorageError, InfraError) as error:
        log.warning("bytes are left for the sweep", extra={"project_id": project.id, "error": str(error)})
    return removed
