"""Every route of a project's Storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.storage import health
from app.storage.buckets import usage
from app.storage.buckets import views as buckets
from app.storage.images import views as images
from app.storage.objects import listing, moving, reading, removing, uploading
from app.storage.resumable import views as resumable
from app.storage.signed import reading as signed_reading
from app.storage.signed import storing as signed_storing

if TYPE_CHECKING:
    from app.storage.serve.call import StorageRoute

ROUTES: tuple[StorageRoute, ...] = (
    *health.ROUTES,
    *buckets.ROUTES,
    *usage.ROUTES,
    *images.ROUTES,
    *listing.ROUTES,
    *moving.ROUTES,
    *reading.ROUTES,
    *removing.ROUTES,
    *uploading.ROUTES,
    *resumable.ROUTES,
    *signed_reading.ROUTES,
    *signed_storing.ROUTES,
)
