"""What a project has: for whoever holds its service key, since others may not see all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.storage.errors import access_denied
from app.storage.objects.limits import MB
from app.storage.serve.call import StorageAnswer, StorageRoute
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from app.storage.serve.call import StorageCall

SQL = statements(__file__)


def usage(call: StorageCall) -> StorageAnswer:
    """Answer how many objects and bytes there are, in all and by bucket, and how many there may be."""
    if not call.caller.is_service:
        raise access_denied("Access denied: Invalid role", http=403)
    with call.transaction() as tx:
        buckets = tx.rows(SQL.by_bucket)
        uploads = tx.row(SQL.uploads) or {}
    settings = call.project.settings
    return StorageAnswer(
        {
            "objects": sum(bucket["objects"] for bucket in buckets),
            "bytes": sum(bucket["bytes"] for bucket in buckets),
            "objectsMax": settings.storage_quota_objects or None,
            "bytesMax": settings.storage_quota_mb * MB or None,
            "uploadsOpen": uploads["uploads"],
            "uploadedBytes": uploads["bytes"],
            "renderedBytes": call.services.pictures.results_of(call.project.id).size(),
            "buckets": buckets,
        }
    )


ROUTES = (StorageRoute("GET", "/usage", "token", "usage", usage),)
