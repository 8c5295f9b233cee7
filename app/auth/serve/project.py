"""The projects that Auth serves in this process: found by their files, read anew when these change."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.auth.errors import AuthError
from app.auth.serve.database_work import ask, in_transaction
from app.data.errors import LocksExhausted, PgrstError
from app.served.projects import CONNECTIONS_MAX, ServedProjects
from catalog.settings_model import ProjectSettings
from infra.errors import LockTableFull, Unavailable
from infra.instances.auth_files import AuthFiles, AuthSpec
from infra.postgres.database import translate_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from psycopg import sql

    from app.data.run.connections import Pool
    from app.data.run.pipeline import PipelineConnection
    from infra.instances.activity import ActivityMark
    from infra.postgres.database import Transaction


@dataclass(frozen=True)
class AuthProject:
    """One project as Auth serves it now. mark: notes that somebody asks for it."""

    spec: AuthSpec
    settings: ProjectSettings
    pool: Pool
    mark: ActivityMark

    @classmethod
    def of(cls, spec: AuthSpec, pool: Pool, mark: ActivityMark) -> AuthProject:
        """Make it of its spec. Raises ValueError for settings that make no sense."""
        return cls(spec, ProjectSettings.model_validate(spec.settings), pool, mark)

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
        except LocksExhausted as error:
            raise LockTableFull(str(error)) from error
        except PgrstError as error:
            if error.code == "PGRST003":
                raise AuthError(504, "request_timeout", "Processing this request timed out, please retry") from error
            raise Unavailable("the project's database is away") from error


class AuthProjects(ServedProjects[AuthSpec, AuthProject]):
    """The projects that Auth serves in this process.

    marks            a folder in which is noted when each project was last asked for; None: nowhere
    connections_max  how many sessions all projects share in this process
    """

    def __init__(self, folder: Path, *, connections_max: int = CONNECTIONS_MAX, marks: Path | None = None) -> None:
        super().__init__(AuthFiles(folder, marks=marks), "auth", AuthProject.of, connections_max=connections_max)
