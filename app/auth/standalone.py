"""Auth as a service of its own: without a state, so that any number of processes may serve."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from app.auth.serve.edge_client import EdgeClient
from app.auth.service import auth_blueprint
from app.http.cache import Cache
from app.http.frame import framed_app
from catalog import project_states, projects
from catalog.ids import is_project_id
from infra.postgres.database import Database
from infra.secrets.passwords import Passwords
from infra.signals.doorbell import Doorbell
from infra.signals.limiter import RateLimiter

if TYPE_CHECKING:
    from flask import Flask

    from config.settings import Settings

log = logging.getLogger(__name__)
SERVICE = "auth-service"
PLATFORM_CONNECTIONS = 4
STATUS_SECONDS = 1.0


class AuthProcess:
    """What one process opens, and the application that it serves."""

    def __init__(self, settings: Settings) -> None:
        self._doorbell = Doorbell(settings.redis_url)
        self.database = Database(
            settings.database_url, name="launchdb-auth", max_size=PLATFORM_CONNECTIONS, bell=self._doorbell
        )
        self._doorbell.fallback = self.database.notify
        self._limiter = RateLimiter(settings.redis_url)
        self._passwords = Passwords(settings.password_hash_concurrency)
        self._edge = EdgeClient(f"http://{settings.host}:{settings.port}")
        self._statuses: Cache[str] = Cache(seconds=STATUS_SECONDS)
        self.app = self._made(settings)

    def _made(self, settings: Settings) -> Flask:
        registry = CollectorRegistry()
        app = framed_app(SERVICE, registry)
        routes = auth_blueprint(
            settings,
            self.database,
            passwords=self._passwords,
            limiter=self._limiter,
            registry=registry,
            status_of=self._status_of,
            wait=self._edge.wait_until_served,
        )
        self._projects = routes.projects  # type: ignore[attr-defined]
        app.register_blueprint(routes)
        return app

    def _status_of(self, project_id: str) -> str | None:
        if not is_project_id(project_id):
            return None

        def find() -> str | None:
            with self.database.autocommit() as tx:
                return projects.status_of(tx, project_id)

        return project_states.SEEN_BY_CLIENTS.get(self._statuses.get(project_id, find) or "")

    def close(self) -> None:
        """Close what was opened."""
        self._projects.close()
        self._passwords.close()
        self._limiter.close()
        self._edge.close()
        self.database.close()
        self._doorbell.close()
