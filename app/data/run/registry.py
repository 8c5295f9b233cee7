"""The instances of this process: one per configuration folder, loaded when asked for, let go when idle or changed."""

from __future__ import annotations

import functools
import logging
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from app.data import config
from app.data.run.connections import Budget
from app.data.run.instance import Instance
from app.data.run.large_bodies import LargeBodies
from catalog.ids import is_project_id
from infra.instances.activity import ActivityMark

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)
CONFIGURATION = "data-api.conf"
SWEEP_SECONDS = 1.0
CONNECTIONS_MAX = 60


class Part(Protocol):
    """One of several processes that serve all projects."""

    def places(self, project_id: str, pool: int) -> list[int]:
        """Return the processes that serve a project whose pool has so many connections."""

    def of_pool(self, project_id: str, pool: int) -> int:
        """Return how many connections of a project's pool are this process's."""

    def of_budget(self, connections: int) -> int:
        """Return how many of the connections that all projects share are."""


@dataclass(frozen=True)
class _Loaded:
    seen: tuple[int, int, int]
    instance: Instance
    pool: int  # connections that all processes may have


class Registry:
    """Finds the instance of a project by its folder. Safe to use from many threads.

    connections_max  how many connections to all projects all processes may have
    part             what of connections is this process's; None: all
    """

    def __init__(self, folder: Path, *, connections_max: int = CONNECTIONS_MAX, part: Part | None = None) -> None:
        self._folder, self._part = folder, part
        self._loaded: dict[str, _Loaded] = {}
        self._lock = threading.Lock()
        self._watched = False
        self.budget = Budget(connections_max if part is None else part.of_budget(connections_max))
        self.budget.make_room = self._make_room
        self._bodies = LargeBodies()

    def find(self, project_id: str) -> Instance | None:
        """Return the project's data API as its configuration says now, or None when it has none."""
        if not is_project_id(project_id):
            return None
        seen = self._look(project_id)
        if seen is None:
            self.release(project_id)
            return None
        loaded = self._loaded.get(project_id)
        if loaded is not None and loaded.seen == seen:
            return loaded.instance
        return self._load(project_id, seen)

    def places(self, project_id: str) -> list[int]:
        """Return the processes that serve a project as its configuration says now; without parts there is one."""
        if self._part is None:
            return [0]
        self.find(project_id)
        loaded = self._loaded.get(project_id)
        return self._part.places(project_id, loaded.pool if loaded is not None else 0)

    def release(self, project_id: str) -> None:
        """Release every connection to a project's database, as before it is renamed or dropped."""
        with self._lock:
            loaded = self._loaded.pop(project_id, None)
        if loaded is not None:
            loaded.instance.close()

    def close(self) -> None:
        """Release everything."""
        for project_id in list(self._loaded):
            self.release(project_id)
        self._bodies.trim(0)

    @property
    def opened(self) -> int:
        """Return how many connections are open."""
        return sum(loaded.instance.pool.opened for loaded in list(self._loaded.values()))

    def _look(self, project_id: str) -> tuple[int, int, int] | None:
        try:
            found = (self._folder / project_id / CONFIGURATION).stat()
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_ino, found.st_size)

    def _load(self, project_id: str, seen: tuple[int, int, int]) -> Instance | None:
        try:
            read = config.from_text((self._folder / project_id / CONFIGURATION).read_text())
        except (OSError, UnicodeDecodeError):
            return None
        except config.ConfigError as error:
            log.exception("data API configuration refused", extra={"project_id": project_id, "error": str(error)})
            return None
        if not read.db_uri:  # cut short by a loss of power; without it the driver would go wherever it is told to
            log.error("data API configuration names no database", extra={"project_id": project_id})
            return None
        most = read.db_pool
        if self._part is not None:
            read = replace(read, db_pool=self._part.of_pool(project_id, most))
        with self._lock:
            loaded = self._loaded.get(project_id)
            if loaded is not None and loaded.seen == seen:
                return loaded.instance
            # Requests under way go on with the connections that they have; no more are open than the pool may hold.
            pool = None if loaded is None else loaded.instance.pool
            mark = ActivityMark(self._folder / project_id)
            fresh = Instance(
                read,
                self.budget,
                f"launchdb-data:{project_id}",
                pool=pool,
                mark=mark,
                read_body=functools.partial(self._bodies.read, project_id),
            )
            if pool is None:
                fresh.pool.refresh = functools.partial(self.find, project_id)
            else:
                pool.heed(read)
            self._loaded[project_id] = _Loaded(seen, fresh, most)
            if not self._watched:
                self._watched = True
                threading.Thread(target=self._watch, name="data-registry", daemon=True).start()
        return fresh

    def _watch(self) -> None:
        # While anything is loaded, so that a folder that is gone is let go of though nobody asks for it any more.
        while True:
            time.sleep(SWEEP_SECONDS)
            self._sweep()
            with self._lock:
                if not self._loaded:
                    self._watched = False
                    return

    def _sweep(self) -> None:
        now = time.monotonic()
        self._bodies.trim()
        for project_id, loaded in list(self._loaded.items()):
            idle = loaded.instance.config.db_pool_max_idletime
            if self._look(project_id) is None or now - loaded.instance.used > idle:
                self.release(project_id)
            else:
                loaded.instance.pool.trim(now - idle)

    def _make_room(self) -> bool:
        """Close the idle connections of the instance that was used the longest time ago."""
        for loaded in sorted(self._loaded.copy().values(), key=lambda each: each.instance.used):
            if loaded.instance.pool.trim(float("inf")):
                return True
        return False
