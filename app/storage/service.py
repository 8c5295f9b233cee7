"""Storage for all projects of an installation: put together for whichever process serves it."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from flask import request

from app.data.serve.unserved import UnservedRequest
from app.http.auth import address_of_client
from app.served.absent import AbsentProjects, NotServed
from app.served.mount import make_blueprint
from app.served.projects import ServedProjects
from app.storage.errors import StorageError
from app.storage.images.pictures import Pictures
from app.storage.routes import ROUTES
from app.storage.serve.counts import StorageCounts
from app.storage.serve.project import StorageProject
from app.storage.serve.services import StorageServices
from app.storage.serve.views import StorageViews
from app.storage.sweep import sweep
from infra.blobs.places import blob_places
from infra.blobs.results import ResultFolder
from infra.errors import InfraError
from infra.files import ensure_folder
from infra.instances.activity import storage_marks

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Blueprint
    from prometheus_client import CollectorRegistry

    from app.storage.serve.caller import Caller
    from app.storage.serve.dialect import Dialect
    from config.settings import Settings
    from infra.instances.spec_files import SpecFiles
    from infra.instances.storage_files import StorageSpec
    from infra.signals.limiter import RateCount

log = logging.getLogger(__name__)
S3 = "s3"
SWEEP_SECONDS = 3600.0
TRIM_SECONDS = 60.0
# What a browser asks for without being told to, and what looks after machines, wakes nobody.
LOOKING = frozenset({"/status", "/health", "/version"})


class StorageService:
    """What one process of Storage has open.

    status_of  a project's state as clients may know it; None when there is no such project
    wait       waits for a project that does not serve now; see `AbsentProjects`
    registry   where is counted what it does
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
        registry: CollectorRegistry | None = None,
    ) -> None:
        ensure_folder(storage_marks(settings), mode=0o700)
        self.projects = ServedProjects(files, "storage", StorageProject.of)
        folder = settings.files_folder
        self._pictures = Pictures(lambda project_id: ResultFolder(folder, project_id))
        counts = StorageCounts(registry)
        self.services = StorageServices(blob_places(settings), self._pictures, counts=counts)
        self._absent = AbsentProjects(self.projects.find, status_of, wait)
        self._counted, self._trusted_proxies = counted, settings.trusted_proxies
        self._stopped = threading.Event()

    def blueprint(self) -> Blueprint:
        """Make the routes. What is open is kept as the blueprint's `service` attribute, so that others can close it."""
        views = StorageViews(
            ROUTES, self.projects, self.services, self._awaited, self._count, dialects={S3: s3_dialect}
        )
        routes = make_blueprint("storage", views.answer)
        routes.service = self  # type: ignore[attr-defined]
        return routes

    def begin_sweeping(self) -> None:
        """Sweep every project now and then, and end helpers that have nothing to do, in threads of their own."""
        threading.Thread(target=self._sweep, name="storage-sweep", daemon=True).start()
        threading.Thread(target=self._trim, name="storage-trim", daemon=True).start()

    def close(self) -> None:
        """Release everything."""
        self._stopped.set()
        self._pictures.close()
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

    def _trim(self) -> None:
        while not self._stopped.wait(TRIM_SECONDS):
            self._pictures.trim()

    def _awaited(self, project_id: str, path: str) -> StorageProject:
        asked = UnservedRequest(
            project_id=project_id,
            method=request.method,
            path="/" if path in LOOKING else path,
            gated=False,
            key=None,
            authorization=_authorization(path),
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

    def _count(self, project: StorageProject, caller: Caller) -> None:
        limits = [(f"{project.id}:storage", project.settings.rate_per_minute)]
        if not caller.is_service and project.settings.address_rate_per_minute:
            address = address_of_client(self._trusted_proxies)
            limits.append((f"{project.id}:storage:{address}", project.settings.address_rate_per_minute))
        for name, most in limits:
            counted = self._counted(name, most)
            if counted is not None and not counted.passed:
                headers = (("Retry-After", str(counted.reset_seconds)),)
                raise StorageError(429, "slow_down", "SlowDown", "Too many requests; slow down", headers=headers)


def s3_dialect() -> Dialect:
    """Make the S3 protocol."""
    from app.storage.s3.dialect import S3Dialect  # noqa: PLC0415 - its libraries take memory: who is not asked so has none

    return S3Dialect()


def _authorization(path: str) -> str | None:
    """Return by what a client proves that they mean a project that sleeps; one that is S3's is looked at afterwards."""
    if path.partition("/")[2].partition("/")[0] == S3:
        return None
    key = request.headers.get("apikey")
    return request.headers.get("Authorization") or (f"Bearer {key}" if key else None)
