"""The limits of a project: what a tenant cannot lift, since it is set on its database and logins from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Mapping

    from config.settings import Settings
    from infra.postgres.role_names import ProjectRoles

SQL = statements(__file__)
# Sessions that Auth and Storage may have each, and what is kept for the platform: a dump takes two, a vacuum one.
OF_A_SERVICE, KEPT = 10, 8
SEARCH_PATH = '"$user", public, extensions'


@dataclass(frozen=True)
class ProjectLimits:
    """What a tenant cannot lift: set on its database and logins from outside.

    connections  how many sessions the owner may have, and as many the data API
    kept_out     logins that may have none for now
    """

    connections: int
    settings: Mapping[str, str]
    kept_out: frozenset[str] = frozenset()

    def login_limits(self, roles: ProjectRoles) -> dict[str, int]:
        """Return how many sessions each login may have whose password a tenant knows, or can change."""
        most = {
            roles.owner: self.connections,
            roles.authenticator: self.connections,
            roles.auth: OF_A_SERVICE,
            roles.storage: OF_A_SERVICE,
        }
        return {login: 0 if login in self.kept_out else sessions for login, sessions in most.items()}

    @property
    def session_limit(self) -> int:
        """How many sessions the database takes: those of all logins, and ours, which none of them can take away."""
        return 2 * self.connections + 2 * OF_A_SERVICE + KEPT

    def alter_statements(self, name: str, roles: ProjectRoles) -> list[sql.Composed]:
        """Return what sets these limits on a database and its logins."""
        database = sql.Identifier(name)
        return [
            SQL.search_path.format(database=database),
            *(
                SQL.database_setting.format(database=database, setting=sql.Identifier(key), value=sql.Literal(value))
                for key, value in self.settings.items()
            ),
            *(
                SQL.limit_login.format(login=sql.Identifier(login), sessions=sql.Literal(most))
                for login, most in self.login_limits(roles).items()
            ),
            SQL.limit_database.format(database=database, sessions=sql.Literal(self.session_limit)),
        ]

    @property
    def stored(self) -> set[str]:
        """The settings of a project's database as the catalogue holds them."""
        return {f"search_path={SEARCH_PATH}", *(f"{name}={value}" for name, value in self.settings.items())}

    @classmethod
    def of(cls, settings: Settings) -> ProjectLimits:
        """Read from the settings the limits of a project that has none of its own."""
        return cls.make(
            connections=settings.project_connections,
            temp_mb=settings.project_temp_mb,
            statement_seconds=settings.project_statement_seconds,
            idle_transaction_seconds=settings.project_idle_transaction_seconds,
        )

    @classmethod
    def make(
        cls,
        *,
        connections: int,
        temp_mb: int,
        statement_seconds: int,
        idle_transaction_seconds: int,
        read_only: bool = False,
        kept_out: frozenset[str] = frozenset(),
    ) -> ProjectLimits:
        """Return these limits as Postgres is told them. read_only: sessions begin so; what they do then is watched."""
        return cls(
            connections=connections,
            kept_out=kept_out,
            settings={
                "temp_file_limit": f"{temp_mb}MB",
                "statement_timeout": f"{statement_seconds}s",
                "idle_in_transaction_session_timeout": f"{idle_transaction_seconds}s",
                # What is raised in a project's database is told to who asked. It would write the server's log full, and
                # with a carriage return in it lines of its own.
                "log_min_messages": "panic",
                **({"default_transaction_read_only": "on"} if read_only else {}),
            },
        )
