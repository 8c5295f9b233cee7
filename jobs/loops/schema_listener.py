"""Hears in each project's database that its schema changed, and has the data API told so.

Only data APIs that cannot see it by themselves are listened for. A listener is one direct session; whoever renames or
drops the database ends it like every other, and it comes back when the project is served again.
"""

from __future__ import annotations

import logging
import selectors
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg

from catalog import names
from infra.errors import InfraError
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from infra.instances.instances import Instances, Part
    from infra.postgres.cluster import Cluster
    from infra.postgres.database import Database

log = logging.getLogger(__name__)
SQL = statements(__file__)
SESSION = "launchdb-listener"
MESSAGES: dict[str, Part] = {"reload schema": "schema", "reload config": "config"}
LOOK_SECONDS = 2.0
WAIT_SECONDS = 0.5
# A tenant may shout as often as they like; their data API reads its catalogue once in so long.
REST_SECONDS = 0.5
# How long a session is kept for an instance that has gone, since most come back at once.
LINGER_SECONDS = 60.0
CONNECTIONS_MAX = 50


@dataclass
class ProjectListener:
    """One project that is listened to. stamp: its schema's, when the data API was last known to have read it."""

    project: str
    session: psycopg.Connection[Any] | None = None
    handle: int = -1
    stamp: str | None = None
    wanted_at: float = 0.0
    listened_at: float = 0.0
    told_at: float = 0.0
    pending: set[Part] = field(default_factory=set)

    def close(self) -> None:
        """Release the session."""
        if self.session is not None:
            self.session.close()
            self.session = None


class SchemaListener:
    """Listens to every project that wants it, with at most so many sessions; the others are looked at in turn.

    Not safe for several threads. `run_once` looks, hears and tells; it never raises for a project that is away.
    """

    def __init__(
        self, database: Database, cluster: Cluster, instances: Instances, *, most: int = CONNECTIONS_MAX
    ) -> None:
        self._database, self._cluster, self._instances, self._most = database, cluster, instances, most
        self._ears: dict[str, ProjectListener] = {}
        self._looked = float("-inf")
        self._selector = selectors.DefaultSelector()

    @property
    def sessions(self) -> int:
        """How many sessions are open."""
        return sum(ear.session is not None for ear in self._ears.values())

    def run_once(self, wait_seconds: float = WAIT_SECONDS) -> int:
        """Return how many data APIs were told something. Raises InfraError when the platform itself is away."""
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._look(now)
        if self.sessions:
            for key, _events in self._selector.select(wait_seconds):
                self._hear(key.data)
        else:
            time.sleep(wait_seconds)
        return sum(self._tell(ear) for ear in list(self._ears.values()))

    def close(self) -> None:
        """Release every session."""
        for ear in list(self._ears.values()):
            self._lose(ear)
        self._selector.close()

    def _look(self, now: float) -> None:
        wanted = self._instances.needing_reload_signal()
        served = self._active(wanted | set(self._ears))
        for project in wanted & served:
            self._ears.setdefault(project, ProjectListener(project)).wanted_at = now
        for ear in list(self._ears.values()):
            # A project that is not active is being renamed, dropped or paused: out of its way at once.
            if ear.project not in served or now - ear.wanted_at > LINGER_SECONDS:
                self._lose(ear)
                del self._ears[ear.project]
        self._looked = now
        self._listen_in_turn()

    def _active(self, projects: set[str] | frozenset[str]) -> set[str]:
        if not projects:
            return set()
        with self._database.autocommit() as tx:
            return {row["id"] for row in tx.rows(SQL.active, {"projects": sorted(projects)})}

    def _listen_in_turn(self) -> None:
        deaf = sorted((ear for ear in self._ears.values() if ear.session is None), key=lambda ear: ear.listened_at)
        over = max(0, len(self._ears) - self._most)
        for ear in sorted((ear for ear in self._ears.values() if ear.session), key=lambda ear: ear.listened_at)[:over]:
            if deaf:
                self._lose(ear)
        for ear in deaf[: max(0, self._most - self.sessions)]:
            self._listen(ear)

    def _listen(self, ear: ProjectListener) -> None:
        try:
            ear.session = self._cluster.opened_inside(names.database(ear.project), SESSION)
            ear.session.execute(SQL.listen)
            stamp = _stamp(ear.session)
        except (InfraError, psycopg.Error) as error:
            log.info("not listened to", extra={"project_id": ear.project, "error": type(error).__name__})
            ear.close()
            return
        # What was said while nobody listened: the first time too, since the data API may have read before that.
        if stamp != ear.stamp:
            ear.pending.add("schema")
        ear.listened_at, ear.handle = time.monotonic(), ear.session.fileno()
        self._selector.register(ear.handle, selectors.EVENT_READ, ear)

    def _hear(self, ear: ProjectListener) -> None:
        if ear.session is None:
            return
        try:
            for notice in ear.session.notifies(timeout=0):
                if (part := MESSAGES.get(notice.payload)) is not None:
                    ear.pending.add(part)
        except psycopg.Error:
            # Its database is being renamed or dropped, or the server restarts: the next look finds out.
            self._lose(ear)

    def _tell(self, ear: ProjectListener) -> bool:
        now = time.monotonic()
        if not ear.pending or now - ear.told_at < REST_SECONDS:
            return False
        ear.told_at = now
        # Before the data API reads: what changes from here on is heard, and told once more.
        stamp, parts = self._stamp(ear), sorted(ear.pending)
        ear.pending.clear()
        self._hear(ear)
        try:
            for part in parts:
                self._instances.reload(names.instance(ear.project), part)
        except InfraError as error:
            log.warning("a data API was not told", extra={"project_id": ear.project, "error": str(error)})
            ear.pending.update(parts)
            return False
        ear.stamp = stamp
        log.info("data API told to read anew", extra={"project_id": ear.project, "parts": parts})
        return True

    def _stamp(self, ear: ProjectListener) -> str | None:
        try:
            return None if ear.session is None else _stamp(ear.session)
        except psycopg.Error:
            self._lose(ear)
            return None

    def _lose(self, ear: ProjectListener) -> None:
        if ear.handle >= 0:
            self._selector.unregister(ear.handle)
            ear.handle = -1
        ear.close()


def _stamp(session: psycopg.Connection[Any]) -> str:
    row = session.execute(SQL.stamp).fetchone()
    return str(row[0]) if row else ""
