"""Storage as a service of its own: it has no state but the files, so that any number of processes may serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from app.http.cache import Cache
from app.http.frame import framed_app
from app.served.wake_client import WakeClient
from app.storage.service import StorageService
from catalog import project_states, projects
from catalog.ids import is_project_id
from infra.composition import storage_specs
from infra.postgres.database import Database
from infra.signals.limiter import BatchedRateLimiter, RateLimiter

if TYPE_CHECKING:
    from config.settings import Settings

SERVICE = "storage-service"
PLATFORM_CONNECTIONS = 2
STATUS_SECONDS = 1.0


class StorageProcess:
    """What one process opens, and the application that it serves."""

    def __init__(self, settings: Settings) -> None:
        self.database = Database(settings.database_url, name="launchdb-storage", max_size=PLATFORM_CONNECTIONS)
        self._limiter = RateLimiter(settings.redis_url)
        self._waker = WakeClient(f"http://{settings.host}:{settings.port}")
        self._statuses: Cache[str] = Cache(seconds=STATUS_SECONDS)
        registry = CollectorRegistry()
        self._service = StorageService(
            settings,
            storage_specs(settings),
            status_of=self._status_of,
            wait=self._waker.wait_until_served,
            counted=BatchedRateLimiter(self._limiter).hit,
            registry=registry,
        )
        self.app = framed_app(SERVICE, registry)
        self.app.register_blueprint(self._service.blueprint())
        self._service.begin_sweeping()

    def _status_of(self, project_id: str) -> str | None:
        if not is_project_id(project_id):
            return None

        def find() -> str | None:
            with self.database.autocommit() as tx:
                return projects.status_of(tx, project_id)

        return project_states.SEEN_BY_CLIENTS.get(self._statuses.get(project_id, find) or "")

    def close(self) -> None:
        """Close what was opened."""
        self._service.close()
        self._waker.close()
        self._limiter.close()
        self.database.close()
