"""Auth as a service of its own: without a state, so that any number of processes may serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from app.auth.service import auth_blueprint
from app.http.frame import framed_app
from app.served.platform import PlatformClient
from infra.postgres.database import Database
from infra.secrets.passwords import Passwords
from infra.signals.doorbell import Doorbell
from infra.signals.limiter import RateLimiter

if TYPE_CHECKING:
    from flask import Flask

    from config.settings import Settings

SERVICE = "auth-service"
PLATFORM_CONNECTIONS = 4


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
        self._platform = PlatformClient(settings, self.database)
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
            status_of=self._platform.status_of,
            wait=self._platform.wait_until_served,
        )
        self._projects = routes.projects  # type: ignore[attr-defined]
        app.register_blueprint(routes)
        return app

    def close(self) -> None:
        """Close what was opened."""
        self._projects.close()
        self._passwords.close()
        self._limiter.close()
        self._platform.close()
        self.database.close()
        self._doorbell.close()
