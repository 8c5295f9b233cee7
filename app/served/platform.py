"""The platform as a service in a process of its own asks it: what state projects are in, and that one be woken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.http.cache import Cache
from app.served.wake_client import WakeClient
from catalog import project_states, projects
from catalog.ids import is_project_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.data.serve.unserved import UnservedRequest
    from config.settings import Settings
    from infra.postgres.database import Database

STATUS_SECONDS = 1.0


class PlatformClient:
    """Asks the platform's database and its API. database: as the service's own login on it."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        self._waker = WakeClient(f"http://{settings.host}:{settings.port}")
        self._statuses: Cache[str] = Cache(seconds=STATUS_SECONDS)

    def status_of(self, project_id: str) -> str | None:
        """Return a project's state as clients may know it, of up to a second ago; None when there is none such."""
        if not is_project_id(project_id):
            return None

        def find() -> str | None:
            with self._database.autocommit() as tx:
                return projects.status_of(tx, project_id)

        return project_states.SEEN_BY_CLIENTS.get(self._statuses.get(project_id, find) or "")

    def wait_until_served(self, asked: UnservedRequest, answers: Callable[[], bool]) -> bool:
        """Return whether the project serves now; see WakeClient. Raises PgrstError, Unavailable."""
        return self._waker.wait_until_served(asked, answers)

    def close(self) -> None:
        """Close the connections to the API."""
        self._waker.close()
