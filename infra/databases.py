"""Databases and roles of projects on the cluster, as wanted ends: ensured, dropped, listed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from infra.database import CONNECT_TIMEOUT_SECONDS, translated
from infra.errors import Refused
from infra.principals import LABEL, Principals, identifiers
from infra.roles import PLATFORM_OWNER
from infra.sql import statements
from infra.template import Templates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from config.settings import Settings
    from infra.cluster import Cluster, Session
    from infra.roles import ProjectRoles

SQL = statements(__file__)
INVALID = -2


@dataclass(frozen=True)
class Limits:
    """What a tenant cannot lift: set on its database from outside."""

    connections: int
    settings: Mapping[str, str]

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Read the limits of every project from the settings."""
        return cls(
            connections=settings.project_connections,
            settings={
                "temp_file_limit": f"{settings.project_temp_mb}MB",
                "statement_timeout": f"{settings.project_statement_seconds}s",
                "idle_in_transaction_session_timeout": f"{settings.project_idle_transaction_seconds}s",
            },
        )


@dataclass(frozen=True)
class Labelled:
    """A thing on the server that bears our label."""

    kind: str
    name: str
    project_id: str


class Databases:
    """Verbs of the administrator. `session` names the run: sessions of an older attempt are ended by that name."""

    def __init__(self, cluster: Cluster, limits: Limits, *, platform: str) -> None:
        self.cluster = cluster
        self.templates = Templates(cluster)
        self._limits = limits
        self._principals = Principals(cluster, platform=platform)

    def prepare(self, session: str) -> None:
        """Let everything be there that all projects share; called at every start, by several starters at once.

        Also closes the platform's own database to the public. Raises Unavailable.
        """
        self.cluster.persistently(lambda: self.ensure_shared_roles(session))
        self.templates.ensure(session)

    def ensure_shared_roles(self, session: str) -> None:
        """Make the roles that all projects share, and close the cluster's own databases to the public."""
        self._principals.ensure_shared(session)

    def ensure_roles(self, roles: ProjectRoles, passwords: Mapping[str, str], session: str) -> None:
        """Let the project have exactly its roles, whose logins take these passwords (random, stored beforehand).

        Raises Refused when a role of such a name is not ours, Unavailable when the server is away.
        """
        self.cluster.persistently(lambda: self._principals.ensure(roles, passwords, session))

    def drop_roles(self, roles: ProjectRoles, session: str) -> None:
        """Let the project's roles be gone, with whatever still names them; roles that are not ours stay."""
        self.cluster.persistently(lambda: self._principals.drop(roles, session))

    def ensure_database(self, name: str, roles: ProjectRoles, session: str) -> None:
        """Let the project have its database: a copy of the template, owned and granted as the project's roles need.

        Raises Refused when a database of this name is not ours.
        """
        self.cluster.persistently(lambda: self._ensure_database(name, roles, session))

    def _ensure_database(self, name: str, roles: ProjectRoles, session: str) -> None:
        with self.cluster.session(session) as admin:
            seen = self._look_at_database(admin, name)
            if seen["present"] and not _is_ours(seen, roles):
                raise Refused("a database of this project's name exists and is not ours")
            if seen["present"] and seen["connections"] == INVALID:
                admin.execute(SQL.drop_database.format(database=sql.Identifier(name)))
                seen = {**seen, "present": False}
            if not seen["present"]:
                template = self.templates.name if seen["template_ready"] else self.templates.ensure(session)
                admin.execute(
                    SQL.copy_template.format(database=sql.Identifier(name), template=sql.Identifier(template))
                )
        if not (seen["present"] and self._is_furnished(seen)):
            self._furnish(name, roles, session)

    def _look_at_database(self, admin: Session, name: str) -> dict[str, Any]:
        with admin.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(SQL.look_at_database, {"name": name, "template": self.templates.name}).fetchone()
        return row or {}

    def _is_furnished(self, seen: dict[str, Any]) -> bool:
        settings = {f"{name}={value}" for name, value in self._limits.settings.items()}
        right = seen["connections"] == self._limits.connections and seen["open"] and not seen["public"]
        return bool(right and settings <= set(seen["settings"] or ()))

    def _furnish(self, name: str, roles: ProjectRoles, session: str) -> None:
        database = sql.Identifier(name)
        parts = [
            SQL.furnish.format(database=database, label=sql.Literal(f"{LABEL}{roles.prefix}"), **identifiers(roles)),
            SQL.search_path.format(database=database),
            *(
                SQL.database_setting.format(database=database, setting=sql.Identifier(key), value=sql.Literal(value))
                for key, value in self._limits.settings.items()
            ),
            SQL.limit_connections.format(database=database, connections=sql.Literal(self._limits.connections)),
        ]
        with self.cluster.inside(name, session) as admin:
            admin.execute(sql.SQL("\n").join(parts))

    def drop_database(self, name: str, roles: ProjectRoles, session: str) -> None:
        """Let the database be gone, its sessions included, also if it never was; one that is not ours stays."""
        self.cluster.persistently(lambda: self._drop_database(name, roles, session))

    def _drop_database(self, name: str, roles: ProjectRoles, session: str) -> None:
        with self.cluster.session(session) as admin:
            seen = self._look_at_database(admin, name)
            if not seen["present"] or not _is_ours(seen, roles):
                return
            if seen["connections"] != INVALID:
                # Otherwise a client that reconnects at once would come between the end of the sessions and the drop.
                admin.execute(SQL.forbid_connections.format(database=sql.Identifier(name)))
            admin.execute(SQL.drop_database.format(database=sql.Identifier(name)))

    def labelled(self, session: str = "launchdb-inventory") -> list[Labelled]:
        """List every database and role on the server that bears our label, whichever project it names."""
        with self.cluster.session(session) as admin:
            return [Labelled(*row) for row in admin.execute(SQL.labelled).fetchall()]

    def prove(self, uri: str, roles: ProjectRoles, session: str) -> None:
        """Go the data API's way once: log in, write as the service role, read as each; leave nothing.

        Raises Unavailable, or Refused when the answer is not what row security makes of it.
        """
        with (
            translated(),
            psycopg.connect(
                uri, autocommit=True, application_name=session, connect_timeout=int(CONNECT_TIMEOUT_SECONDS)
            ) as login,
            login.cursor() as cursor,
        ):
            cursor.execute(SQL.prove.format(**identifiers(roles)))
            counts = [row[0] for row in _rows(cursor)]
        if counts != [1, 0, 0]:
            raise Refused("the project's database does not answer as its roles require")

    def uri(self, database: str, user: str, password: str) -> str:
        """Return the libpq URI with which `user` reaches `database`."""
        return self.cluster.uri(database, user, password)

    def close(self) -> None:
        """Give the sessions back."""
        self.cluster.close()


def _is_ours(seen: dict[str, Any], roles: ProjectRoles) -> bool:
    return seen["owner"] == PLATFORM_OWNER and seen["label"] in (None, f"{LABEL}{roles.prefix}")


def _rows(cursor: psycopg.Cursor[Any]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    more: bool | None = True
    while more:
        if cursor.description:
            rows += cursor.fetchall()
        more = cursor.nextset()
    return rows
