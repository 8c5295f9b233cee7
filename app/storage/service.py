"""Storage for all projects of an installation: put together for whichever process serves it."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from flask import request

from app.data.serve.unserved import UnservedRequest
from app.served.absent import AbsentProjects, NotServed
from app.served.mount import make_blueprint
from app.served.projects import ServedProjects
from app.storage.errors import StorageError
from app.storage.routes import ROUTES
from app.storage.serve.project import StorageProject
from app.storage.serve.services import StorageServices
from app.storage.serve.views import StorageViews
from app.storage.sweep import sweep
from infra.blobs.local_folder import LocalFolder
from infra.errors import InfraError
from infra.files import ensure_folder
from infra.instances.activity import storage_marks

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Blueprint

    from config.settings import Settings
    from infra.instances.spec_files import SpecFiles
    from infra.instances.storage_files import StorageSpec
    from infra.signals.limiter import RateCount

log = logging.getLogger(__name__)
SWEEP_SECONDS = 3600.0
# What a browser asks for without being told to, and what looks after machines, wakes nobody.
LOOKING = frozenset({"/status", "/health", "/version"})


class StorageService:
    """What one process of Storage has open.

    status_of  a project's state as clients may know it; None when there is no such project
    wait       waits for a project that does not serve now; see `AbsentProjects`
    counted    counts a request under a name that may have so many a minute, or returns None where nobody counts
    """

    def __init__(
        self,
        settings: Settings,
        files: SpecFiles[StorageSpec],
        *,
        status_of: Callable[[str], str | None],
        wait: Callable[[UnservedRequest, Callable[[], bool]], bool],
        counted: Callable[[str, int], RateCount | None],
    ) -> None:
        ensure_folder(storage_marks(settings), mode=0o700)
        self.projects = ServedProjects(files, "storage", StorageProject.of)
        folder = settings.files_folder
        self.services = StorageServices(lambda project_id: LocalFolder(folder, project_id))
        self._absent = AbsentProjects(self.projects.find, status_of, wait)
        self._counted = counted
        self._stopped = threading.Event()

    def blueprint(self) -> Blueprint:
        """Make the routes. What is open is kept as the blueprint's `service` attribute, so that others can close it."""
        views = StorageViews(ROUTES, self.projects, self.services, self._awaited, self._count)
        routes = make_blueprint("storage", views.answer)
        routes.service = self  # type: ignore[attr-defined]
        return routes

    def begin_sweeping(self) -> None:
        """Sweep every project now and then, in a thread of its own."""
        threading.Thread(target=self._sweep, name="storage-sweep", daemon=True).start()

    def close(self) -> None:
        """Release everything."""
        self._stopped.set()
        self.projects.close()

    def _sweep(self) -> None:
        while not self._stopped.wait(SWEEP_SECONDS):
            for project_id in self.projects.files.list():
                project = self.projects.find(project_id)
                if project is None or self._stopped.is_set():
                    continue
                try:
                    sweep(project, self.services)
                except (StorageError, InfraError) as error:
                    log.warning(
                        "a project's files were not swept", extra={"project_id": project_id, "error": str(error)}
                    )

    def _awaited(self, project_id: str, path: str) -> StorageProject:
        asked = UnservedRequest(
            project_id=project_id,
            method=request.method,
            path="/" if path in LOOKING else path,
            gated=False,
            key=None,
            authorization=request.headers.get("Authorization") or _as_bearer(request.headers.get("apikey")),
            agent=request.headers.get("User-Agent", ""),
            service="storage",
        )
        try:
            return self._absent.awaited(asked)
        except NotServed as error:
            word = "not_found" if error.status == 404 else "unavailable"
            raise StorageError(
                error.status, word, "NoSuchProject", str(error), http=error.status, headers=error.headers
            ) from error

    def _count(self, project: StorageProject) -> None:
        counted = self._counted(f"{project.id}:storage", project.settings.rate_per_minute)
        if counted is None or counted.passed:
            return
        headers = (("Retry-After", str(counted.reset_seconds)),)
        raise StorageError(429, "slow_down", "SlowDown", "Too many requests; slow down", headers=headers)


def _as_bearer(key: str | None) -> str | None:
    return f"Bearer {key}" if key else None
