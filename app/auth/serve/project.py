"""The projects that Auth serves in this process: found by their files, read anew when these change."""

from __future__ import annotations

import functools
import logging
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.auth.errors import AuthError
from app.auth.serve.database_work import ask, in_transaction
from app.data.config import DataConfig
from app.data.errors import PgrstError
from app.data.run.connections import Budget, Pool
from catalog.ids import is_project_id
from catalog.settings_model import ProjectSettings
from infra.errors import Refused, Unavailable
from infra.instances.activity import ActivityMark
from infra.instances.auth_files import AuthFiles, AuthSpec
from infra.postgres.database import translate_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from psycopg import sql

    from app.data.run.pipeline import PipelineConnection
    from infra.postgres.database import Transaction

log = logging.getLogger(__name__)
IDLE_SECONDS = 60.0
SWEEP_SECONDS = 1.0
CONNECTIONS_MAX = 40
WAIT_SECONDS = 10.0


@dataclass(frozen=True)
class AuthProject:
    """One project as Auth serves it now. mark: notes that somebody asks for it."""

    spec: AuthSpec
    settings: ProjectSettings
    pool: Pool
    mark: ActivityMark

    @property
    def id(self) -> str:
        """The project's id."""
        return self.spec.project_id

    @property
    def issuer(self) -> str:
        """The claim `iss` of its tokens, and the address that its links begin with."""
        return f"{self.spec.url}/auth/v1"

    @property
    def autoconfirm(self) -> bool:
        """Whether an address counts as confirmed at once: as it is set, or where no letter goes anywhere."""
        return not self.spec.has_mail if self.settings.autoconfirm is None else self.settings.autoconfirm

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Lend a transaction as the project's Auth login: committed on leaving, rolled back on an exception.

        Names are to be written with their schema: nothing but pg_catalog is looked through, and a statement ends
        after 20 seconds, as the login is set (infra/postgres/project_roles.py).

        Raises AuthError (504) when no connection is free in time, Unavailable when Postgres is away.
        """
        with self._lent() as connection, in_transaction(connection) as tx:
            yield tx

    @contextmanager
    def autocommit(self) -> Iterator[Transaction]:
        """Lend a transaction that is committed also when it ends with an AuthError, so that refusals can be written."""
        with self._lent() as connection, in_transaction(connection, keep_on_refusal=True) as tx:
            yield tx

    def ask(self, query: sql.Composable, values: dict[str, object]) -> Any:
        """Run one statement by itself, in one round trip; return the JSON of its one value, or None.

        Raises as `transaction` does.
        """
        with self._lent() as connection:
            return ask(connection, query, values)

    @contextmanager
    def _lent(self) -> Iterator[PipelineConnection]:
        try:
            with translate_errors(), self.pool.lend() as connection:
                yield connection
        except PgrstError as error:
            if error.code == "PGRST003":
                raise AuthError(504, "request_timeout", "Processing this request timed out, please retry") from error
            raise Unavailable("the project's database is away") from error


class AuthProjects:
    """Finds the project by its file. Safe to use from many threads.

    marks            a folder in which is noted when each project was last asked for; None: nowhere
    connections_max  how many sessions all projects share in this process
    """

    def __init__(self, folder: Path, *, connections_max: int = CONNECTIONS_MAX, marks: Path | None = None) -> None:
        self._files, self._marks = AuthFiles(folder), marks or folder / "none"
        self._watched = False
        self._loaded: dict[str, tuple[tuple[int, int, int], AuthProject]] = {}
        self._used: dict[str, float] = {}
        self._lock = threading.Lock()
        self._budget = Budget(connections_max)
        self._budget.make_room = self._make_room

    def find(self, project_id: str) -> AuthProject | None:
        """Return the project as its file says now, or None when it has none."""
        if not is_project_id(project_id):
            return None
        seen = self._look(project_id)
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
            if self._look(project_id) is None or self._used.get(project_id, 0.0) <= oldest:
                self.release(project_id)
            else:
                project.pool.trim(oldest)

    def close(self) -> None:
        """Close every connection."""
        for project_id in list(self._loaded):
            self.release(project_id)

    def _look(self, project_id: str) -> tuple[int, int, int] | None:
        try:
            found = self._files.path(project_id).stat()
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_ino, found.st_size)

    def _load(self, project_id: str, seen: tuple[int, int, int]) -> AuthProject | None:
        try:
            spec = AuthSpec.from_json(self._files.path(project_id).read_text())
            settings = ProjectSettings.model_validate(spec.settings)
        except (OSError, UnicodeDecodeError):
            return None
        except (Refused, ValueError):
            log.exception("a project's Auth cannot be served", extra={"project_id": project_id})
            return None
        with self._lock:
            loaded = self._loaded.get(project_id)
            if loaded is not None and loaded[0] == seen:
                return loaded[1]
            config = _pool_config(spec)
            if loaded is None:
                pool = Pool(config, self._budget, f"launchdb-auth:{project_id}")
                pool.refresh = functools.partial(self.find, project_id)
            else:
                pool = loaded[1].pool
                pool.heed(config)
            project = AuthProject(spec, settings, pool, ActivityMark(self._marks, project_id))
            self._loaded[project_id] = (seen, project)
            if not self._watched:
                self._watched = True
                threading.Thread(target=self._watch, name="auth-projects", daemon=True).start()
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


def _pool_config(spec: AuthSpec) -> DataConfig:
    return DataConfig(
        db_uri=spec.db_uri,
        launchdb_db_uri_before=spec.db_uri_before,
        db_pool=spec.pool_size,
        db_pool_acquisition_timeout=WAIT_SECONDS,
        db_pool_max_idletime=IDLE_SECONDS,
    )
