"""A database that is filled beside a live one, and the swap by which it takes its place: a project's or the platform's.

Every act looks first. It may be killed between any two of its statements, and done again.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from infra.errors import Refused, Unavailable
from infra.postgres.admin.bounds import WHOLE_DATABASE
from infra.postgres.database import INVALID
from infra.postgres.role_names import PLATFORM_OWNER
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from infra.postgres.cluster import Cluster

SQL = statements(__file__)
LOOK_SECONDS = 0.05
# The server waits up to five seconds for the last session of what it renames; so often it is asked to.
ATTEMPTS = 4
# How long transactions under way may take to come to their end, before a swap ends them.
DRAIN_SECONDS = 2.0


class StagingDatabase:
    """Verbs on databases beside a live one, and on that one.

    session  names the run: sessions of an older attempt are ended by that name
    label    what a project's databases say they are: one that says otherwise is not touched. The platform's own say
             nothing; they are told by their names alone.
    """

    def __init__(self, cluster: Cluster, session: str, *, label: str | None = None) -> None:
        self._cluster, self._session, self._label = cluster, session, label

    def create(self, name: str, *, template: str = "template0", owner: str | None = None) -> None:
        """Create it, one from before dropped. Nobody but the administrator may connect until somebody is admitted."""
        self.drop(name)
        owned_by = sql.SQL("DEFAULT") if owner is None else sql.Identifier(owner)
        database, source = sql.Identifier(name), sql.Identifier(template)
        with self._cluster.session(self._session, WHOLE_DATABASE) as admin:
            admin.execute(SQL.create.format(database=database, template=source, owner=owned_by))
        self.close(name)

    def close(self, name: str) -> None:
        """Close a database that was created with a limit of no connections to everybody, and lift that limit then."""
        database = sql.Identifier(name)
        with self._cluster.session(self._session) as admin, admin.transaction():
            if self._label is not None:
                admin.execute(SQL.label.format(database=database, label=sql.Literal(self._label)))
            admin.execute(SQL.close.format(database=database))

    def admit(self, name: str, login: str) -> None:
        """Admit one login."""
        with self._cluster.session(self._session) as admin:
            admin.execute(SQL.admit.format(database=sql.Identifier(name), login=sql.Identifier(login)))

    def open(self, name: str) -> None:
        """Allow in again who may to come into a whole database: whoever died while dropping it has left it shut."""
        if self.exists(name):
            with self._cluster.session(self._session) as admin:
                admin.execute(SQL.open.format(database=sql.Identifier(name)))

    def exists(self, name: str) -> bool:
        """Return whether there is such a database of ours. One that is half dropped can only be dropped."""
        seen = self._look(name)
        return seen is not None and seen["connections"] != INVALID

    def is_half_dropped(self, name: str) -> bool:
        """Return whether an interrupted drop has left such a database of ours."""
        seen = self._look(name)
        return seen is not None and seen["connections"] == INVALID

    def drop(self, name: str) -> None:
        """Remove such a database, also one that an interrupted drop has left; one that is not ours stays."""
        self._cluster.retry_races(lambda: self._drop(name))

    def _drop(self, name: str) -> None:
        if self._look(name):
            with self._cluster.session(self._session, WHOLE_DATABASE) as admin:
                admin.execute(SQL.drop.format(database=sql.Identifier(name)))

    def swap(self, live: str, staged: str, kept: str) -> None:
        """Make what was staged the live one and keep the live one, in one step; done already, nothing happens.

        Where there is no live one, or it is half dropped, what was staged takes its name. Raises Unavailable while
        sessions cannot be ended.
        """
        if not self.exists(staged):
            return
        is_there = self.exists(live)
        self.drop(kept if is_there else live)
        self._rename([(live, kept), (staged, live)] if is_there else [(staged, live)])

    def swap_back(self, live: str, kept: str, spare: str) -> None:
        """Ensure that what was kept is the live one again, and what was live be gone; done already, nothing happens.

        spare  name that the live one has until it is dropped

        Raises Refused when what was kept is half dropped: nothing of it can be had any more. Unavailable.
        """
        if self.is_half_dropped(kept):
            raise Refused("the database from before the restore is half dropped")
        if self.exists(kept):
            is_there = self.exists(live)
            self.drop(spare if is_there else live)
            self._rename([(live, spare), (kept, live)] if is_there else [(kept, live)])
            self.open(live)
        self.drop(spare)

    def _rename(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Give databases other names, all at once or not at all.

        The server lets nobody into what it renames: who comes meanwhile waits, and finds it by its new name or not at
        all. So nothing is shut before, and nothing stays shut when we die.
        """
        with ThreadPoolExecutor(1) as threads:
            for _attempt in range(ATTEMPTS):
                renaming = threads.submit(self._is_renamed, pairs)
                self._end_sessions([name for name, _ in pairs], renaming)
                if renaming.result():
                    return
        raise Unavailable("the sessions of a database could not be ended")

    def _is_renamed(self, pairs: Sequence[tuple[str, str]]) -> bool:
        with self._cluster.session(self._session, WHOLE_DATABASE) as admin:
            try:
                with admin.transaction():
                    for name, other in pairs:
                        admin.execute(SQL.rename.format(name=sql.Identifier(name), other=sql.Identifier(other)))
            except psycopg.errors.ObjectInUse:
                return False
        return True

    def _end_sessions(self, names: Sequence[str], renaming: Future[bool]) -> None:
        """End whoever does nothing; who is in the middle of something has a while to come to its end."""
        drained = time.monotonic() + DRAIN_SECONDS
        while not renaming.done():
            with self._cluster.session(self._session, WHOLE_DATABASE) as admin:
                admin.execute(SQL.end_sessions, {"names": list(names), "busy": time.monotonic() > drained})
            wait([renaming], LOOK_SECONDS)

    def _look(self, name: str) -> dict[str, Any] | None:
        """Return what there is of this name, if it is ours."""
        with self._cluster.session(self._session) as admin, admin.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(SQL.look, {"name": name}).fetchone()
        if row is None or self._label is None:
            return row
        return row if row["owner"] == PLATFORM_OWNER and row["label"] in (None, self._label) else None
