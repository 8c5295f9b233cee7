"""The composition root: everything outside, opened from the settings. Nothing connects at import time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.database import Database
from infra.doorbell import Doorbell

if TYPE_CHECKING:
    from config.settings import Settings


@dataclass
class Infra:
    """The opened world. One per process; close() gives everything back."""

    settings: Settings
    database: Database
    doorbell: Doorbell

    @classmethod
    def open(cls, settings: Settings, *, name: str = "launchdb") -> Infra:
        """Open pools and clients; they connect in the background. Raises nothing for a server that is away."""
        doorbell = Doorbell(settings.redis_url)
        database = Database(settings.database_url, name=name, max_size=settings.database_pool_size, bell=doorbell)
        doorbell.fallback = database.notify
        return cls(settings=settings, database=database, doorbell=doorbell)

    def close(self) -> None:
        """Close what was opened."""
        self.database.close()
        self.doorbell.close()
