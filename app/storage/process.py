"""Storage as a service of its own: it has no state but the files, so that any number of processes may serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from app.http.frame import framed_app
from app.served.platform import PlatformClient
from app.storage.service import StorageService
from infra.composition import storage_specs
from infra.postgres.database import Database
from infra.signals.limiter import BatchedRateLimiter, RateLimiter

if TYPE_CHECKING:
    from config.settings import Settings

SERVICE = "storage-service"
PLATFORM_CONNECTIONS = 2


class StorageProcess:
    """What one process opens, and the application that it serves."""

    def __init__(self, settings: Settings) -> None:
        self.database = Database(settings.database_url, name="launchdb-storage", max_size=PLATFORM_CONNECTIONS)
        self._limiter = RateLimiter(settings.redis_url)
        self._platform = PlatformClient(settings, self.database)
        registry = CollectorRegistry()
        self._service = StorageService(
            settings,
            storage_specs(settings),
            status_of=self._platform.status_of,
            wait=self._platform.wait_until_served,
            counted=BatchedRateLimiter(self._limiter).hit,
            registry=registry,
        )
        self.app = framed_app(SERVICE, registry)
        self.app.register_blueprint(self._service.blueprint())
        self._service.begin_sweeping()

    def close(self) -> None:
        """Close what was opened."""
        self._service.close()
        self._platform.close()
        self._limiter.close()
        self.database.close()
