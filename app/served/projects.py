"""The projects that a service serves in this process: found by their files, read anew when these change."""

from __future__ import annotations

import functools
import logging
import threading
import time
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from app.data.config import DataConfig
from app.data.run.connections import Budget, Pool
from catalog.ids import is_project_id
from infra.errors import Refused
from infra.instances.activity import ActivityMark
from infra.instances.spec_files import ProjectSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.instances.spec_files import SpecFiles

log = logging.getLogger(__name__)
IDLE_SECONDS = 60.0
SWEEP_SECONDS = 1.0
CONNECTIONS_MAX = 40
WAIT_SECONDS = 10.0


class DatabaseSpec(Protocol):
    """The part of a spec that says how a project's database is reached."""

    @property
    def project_id(self) -> str:
        """The project's id."""

    @property
    def db_uri(self) -> str:
        """The database, as the service's login."""

    @property
    def db_uri_before(self) -> str:
        """What is tried when db_uri's password is refused."""

    @property
    def pool_size(self) -> int:
        """How many connections the service may have to it."""


class ServedProject(Protocol):
    """What a service makes of a spec."""

    @property
    def pool(self) -> Pool:
        """The connections to the project's database."""


S = TypeVar("S", bound=ProjectSpec)
P = TypeVar("P", bound=ServedProject)


class ServedProjects(Generic[S, P]):
    """Finds a project by its file. Safe to use from many threads.

    service          in the names of sessions, as Postgres shows them
    made             makes of a spec, the pool and the mark what is served; raises ValueError for settings that make no
                     sense
    connections_max  how many sessions all projects share in this process
    """

    def __init__(
        self,
        files: SpecFiles[S],
        service: str,
        made: Callable[[S, Pool, ActivityMark], P],
        *,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        self.files, self._service, self._made = files, service, made
        self._watched = False
        self._loaded: dict[str, tuple[tuple[int, int, int], P]] = {}
        self._used: dict[str, float] = {}
        self._lock = threading.Lock()
        self._budget = Budget(connections_max)
        self._budget.make_room = self._make_room

    def find(self, project_id: str) -> P | None:
        """Return the project as its file says now, or None when it has none."""
        if not is_project_id(project_id):
            return None
        seen = self.files.stamp(project_id)
        if seen is None:
            self.release(project_id)
            return None
        self._used[project_id] = time.monotonic()
        loaded = self._loaded.get(project_id)
        return loaded[1] if loaded is not None and loaded[0] == seen else self._load(project_id, seen)

    def release(self, project_id: str) -> None:
        """Close every connection to a project's database, as before it is renamed or dropped."""
        with self._lock:
            loaded = self._loaded.pop(project_id, None)
            self._used.pop(project_id, None)
        if loaded is not None:
            loaded[1].pool.close()

    def trim(self) -> None:
        """Release what nobody has used for a while, and of projects whose file is gone."""
        oldest = time.monotonic() - IDLE_SECONDS
        for project_id, (_, project) in list(self._loaded.items()):
            if self.files.stamp(project_id) is None or self._used.get(project_id, 0.0) <= oldest:
                self.release(project_id)
            else:
                project.pool.trim(oldest)

    def close(self) -> None:
        """Close every connection."""
        for project_id in list(self._loaded):
            self.release(project_id)

    def _load(self, project_id: str, seen: tuple[int, int, int]) -> P | None:
        try:
            spec = self.files.read(project_id)
            if spec is None:
                return None
            with self._lock:
                return self._taken(project_id, seen, spec)
        except (Refused, ValueError):
            log.exception("a project cannot be served", extra={"project_id": project_id, "service": self._service})
            return None

    def _taken(self, project_id: str, seen: tuple[int, int, int], spec: S) -> P:
        loaded = self._loaded.get(project_id)
        if loaded is not None and loaded[0] == seen:
            return loaded[1]
        config = _pool_config(spec)  # type: ignore[arg-type]
        if loaded is None:
            pool = Pool(config, self._budget, f"launchdb-{self._service}:{project_id}")
            pool.refresh = functools.partial(self.find, project_id)
        else:
            pool = loaded[1].pool
            pool.heed(config)
        project = self._made(spec, pool, ActivityMark(self.files.marks or self.files.root / "none", project_id))
        self._loaded[project_id] = (seen, project)
        if not self._watched:
            self._watched = True
            threading.Thread(target=self._watch, name=f"{self._service}-projects", daemon=True).start()
        return project

    def _watch(self) -> None:
        # While anything is loaded, so that who is gone is let go of though nobody asks for it any more.
        while True:
            time.sleep(SWEEP_SECONDS)
            self.trim()
            with self._lock:
                if not self._loaded:
                    self._watched = False
                    return

    def _make_room(self) -> bool:
        """Close the idle connections of the project that was asked for the longest time ago."""
        for project_id, _ in sorted(self._used.copy().items(), key=lambda used: used[1]):
            loaded = self._loaded.get(project_id)
            if loaded is not None and loaded[1].pool.trim(float("inf")):
                return True
        return False


def _pool_config(spec: DatabaseSpec) -> DataConfig:
    return DataConfig(
        db_uri=spec.db_uri,
        launchdb_db_uri_before=spec.db_uri_before,
        db_pool=spec.pool_size,
        db_pool_acquisition_timeout=WAIT_SECONDS,
        db_pool_max_idletime=IDLE_SECONDS,
    )
