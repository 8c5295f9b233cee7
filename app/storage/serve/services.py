"""What all projects share in one process of Storage."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.storage.serve.counts import StorageCounts

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.storage.images.pictures import Pictures
    from infra.blobs.store import BlobStore


@dataclass(frozen=True)
class StorageServices:
    """What all projects share in one process.

    blobs     opens the place of a project's bytes
    pictures  transforms pictures
    clock     the present in seconds of the epoch
    counts    counts what is done
    """

    blobs: Callable[[str], BlobStore]
    pictures: Pictures
    clock: Callable[[], float] = field(default=time.time)
    counts: StorageCounts = field(default_factory=StorageCounts)
