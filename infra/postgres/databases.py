"""Databases and roles of projects on the cluster, as wanted ends: ensured, dropped, listed."""

from __future__ import annotations

import time
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from infra.errors import Refused, Unavailable
from infra.postgres import scram
from infra.postgres.admin.bounds import WHOLE_DATABASE
from infra.postgres.database import INVALID
from infra.postgres.project_roles import LABEL, RoleAdmin, role_identifiers
from infra.postgres.role_names import PLATFORM_OWNER
from infra.postgres.schema_drift import SchemaInspector
from infra.postgres.sql import statements
from infra.postgres.template import FOLDER, Templates
from infra.postgres.tenant_session import Bounds, tenant_session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infra.postgres.cluster import Cluster, Session
    from infra.postgres.limits import ProjectLimits
    from infra.postgres.role_names import ProjectRoles

SQL = statements(__file__)
# Putting clients out: so many looks, so long apart, until nobody was there in so many of them.
LOOKS, LOOK_SECONDS, QUIET_LOOKS = 60, 0.05, 2
# A round trip runs what a tenant has hung on to its tables; the login's own limits are the tenant's to change.
ROUND_TRIP = Bounds(seconds=60, size=100_000)


@dataclass(frozen=True)
class LabelledObject:
    """A thing on the server that bears our label."""

    kind: str
    name: str
    project_id: str


@dataclass(frozen=True)
class ServerSurvey:
    """Databases and roles that are named as projects' are, by name, as they were found."""

    databases: Mapping[str, Mapping[str, Any]]
    roles: Mapping[str, Mapping[str, Any]]

    def accepts_password(self, login: str, password: str) -> bool:
        """Return whether a login was found to take this password."""
        return login in self.roles and scram.matches(self.roles[login]["password"], password)


class Databases:
    """Verbs of the administrator. `session` names the run: sessions of an older attempt are ended by that name."""

    def __init__(self, cluster: Cluster, limits: ProjectLimits, *, platform: str, migrations: str = "") -> None:
        self.cluster, self.platform = cluster, platform
        self.templates = Templates(cluster, migrations or FOLDER)
        self.objects = SchemaInspector(cluster, self.templates)
        self._limits = limits
        self._principals = RoleAdmin(cluster, platform=platform)

    def with_limits(self, limits: ProjectLimits) -> Databases:
        """Return the same verbs for a project that has limits of its own."""
        other = copy(self)
        other._limits = limits  # noqa: SLF001 - it is one of us
        return other

    def prepare(self, session: str) -> None:
        """Ensure what all projects share; called at every start, by several starters at once.

        Also closes the platform's own database to the public. Raises Unavailable.
        """
        self.cluster.retry_races(lambda: self.ensure_shared_roles(session))
        self.templates.ensure(session)

    def ensure_shared_roles(self, session: str) -> None:
        """Make the roles that all projects share, and close the cluster's own databases to the public."""
        self._principals.ensure_shared(session)

    def ensure_roles(self, roles: ProjectRoles, passwords: Mapping[str, str], session: str) -> None:
        """Ensure that the project has exactly its roles, whose logins take these passwords (random, stored beforehand).

        Raises Refused when a role of such a name is not ours, Unavailable when the server is away.
        """
        self.cluster.retry_races(lambda: self._principals.ensure(roles, passwords, session))

    def drop_roles(self, roles: ProjectRoles, session: str) -> None:
        """Remove the project's roles, with whatever still names them; roles that are not ours stay."""
        self.cluster.retry_races(lambda: self._principals.drop(roles, session))

    def ensure_database(self, name: str, roles: ProjectRoles, session: str) -> None:
        """Ensure the project's database: a copy of the template, owned and granted as the project's roles need.

        Raises Refused when a database of this name is not ours.
        """
        self.cluster.retry_races(lambda: self._ensure_database(name, roles, session))

    def _ensure_database(self, name: str, roles: ProjectRoles, session: str) -> None:
        with self.cluster.session(session, WHOLE_DATABASE) as admin:
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
        if not seen["present"] or seen["label"] is None:
            self._furnish(name, roles, session)
        elif self._faults(seen, roles, closed=False):
            self._mend(seen, roles, session, closed=False)

    def mend_database(self, name: str, roles: ProjectRoles, session: str, *, closed: bool) -> None:
        """Restore owner, rights, settings and limits of the project's database; its content is not touched.

        closed  whether the project's logins are refused (and are put out), backups excepted

        Raises Refused when there is no such database of ours: what was in it cannot be made again.
        """
        self.cluster.retry_races(lambda: self._mend_database(name, roles, session, closed=closed))

    def _mend_database(self, name: str, roles: ProjectRoles, session: str, *, closed: bool) -> None:
        with self.cluster.session(session) as admin:
            seen = self._look_at_database(admin, name)
        if not seen["present"] or seen["connections"] == INVALID:
            raise Refused("the project's database is gone; restore it from a backup")
        if seen["label"] != f"{LABEL}{roles.prefix}":
            raise Refused("a database of this project's name exists and is not ours")
        differs = self._faults(seen, roles, closed=closed)
        if differs and closed:
            # First of all: a client in the middle of something may hold what has to be changed.
            with self.cluster.session(session) as admin:
                admin.execute(SQL.shut_out.format(database=sql.Identifier(name), **role_identifiers(roles)))
        if closed:
            self.end_sessions(name, roles, session)
        if differs:
            self._mend(seen, roles, session, closed=closed)

    def end_sessions(self, name: str, roles: ProjectRoles, session: str) -> None:
        """End the sessions of the project's logins, backups excepted. Raises Unavailable when they keep coming back."""
        logins = [login for login in roles.logins if login != roles.dump]
        quiet = 0
        for _look in range(LOOKS):
            with self.cluster.session(session, WHOLE_DATABASE) as admin:
                ended = admin.execute(SQL.sessions, {"name": name, "logins": logins}).fetchone()
            # A login that was admitted just before the door closed is not seen yet: one quiet look is not enough.
            quiet = 0 if ended and ended[0] else quiet + 1
            if quiet == QUIET_LOOKS:
                return
            time.sleep(LOOK_SECONDS)
        raise Unavailable("clients of the project connect faster than they can be put out")

    def survey(self, roles: ProjectRoles | None, session: str) -> ServerSurvey:
        """Look at one project's database and roles, or with None at everything that is named as a project's."""
        wanted = {"name": roles.prefix if roles else None, "template": self.templates.name}
        names = list(roles.all) if roles else None
        with self.cluster.session(session) as admin, admin.transaction():
            with admin.cursor(row_factory=dict_row) as cursor:
                cursor.execute(SQL.look_at_many)
                databases = {row["name"]: row for row in cursor.execute(SQL.look_at_database, wanted) if row["present"]}
            return ServerSurvey(databases, self._principals.read_roles_by(admin, names))

    def differences(
        self, seen: ServerSurvey, roles: ProjectRoles, passwords: Mapping[str, str], *, closed: bool
    ) -> list[str]:
        """Return in words in what a project differs from what it has to be; nothing when all is right."""
        database = seen.databases.get(roles.prefix)
        if database is None:
            found = ["it is missing"]
        elif database["connections"] == INVALID:
            found = ["it is half dropped"]
        else:
            found = self._faults(database, roles, closed=closed)
        if database and closed and database["sessions"]:
            found.append("somebody is logged in")
        named = [f"database {roles.prefix}: {fault}" for fault in found]
        return named + self._principals.differences(seen.roles, roles, passwords)

    def _look_at_database(self, admin: Session, name: str) -> dict[str, Any]:
        with admin.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(SQL.look_at_database, {"name": name, "template": self.templates.name}).fetchone()
        return row or {}

    def _faults(self, seen: Mapping[str, Any], roles: ProjectRoles, *, closed: bool) -> list[str]:
        rights = {right for right in seen["rights"] if not right.startswith(f"{PLATFORM_OWNER}:")}
        public = any(right.startswith("public:") for right in rights)
        differs = {
            "it does not bear our label": seen["label"] != f"{LABEL}{roles.prefix}",
            "it has another owner": seen["owner"] != PLATFORM_OWNER,
            "it is open to the public": public,
            "its rights were changed": not public and rights != _rights(roles, closed=closed),
            "it admits nobody, or can be copied": not seen["open"] or seen["template"],
            "its connection limit was changed": (seen["connections"], seen["logins"])
            != (self._limits.session_limit, self._limits.login_limits(roles)),
            "its settings were changed": set(seen["settings"] or ()) != self._limits.stored,
        }
        return [fault for fault, found in differs.items() if found]

    def _furnish(self, name: str, roles: ProjectRoles, session: str) -> None:
        label = sql.Literal(f"{LABEL}{roles.prefix}")
        parts = [
            *self._settled(name, roles, ["public"], closed=False),
            SQL.furnish.format(database=sql.Identifier(name), label=label, **role_identifiers(roles)),
        ]
        with self.cluster.open_in_database(name, session) as admin:
            admin.execute(sql.SQL("\n").join(parts))

    def _mend(self, seen: Mapping[str, Any], roles: ProjectRoles, session: str, *, closed: bool) -> None:
        database = sql.Identifier(seen["name"])
        grantees = sorted({"public", *(right.rpartition(":")[0] for right in seen["rights"])} - {PLATFORM_OWNER})
        parts = [SQL.own.format(database=database), SQL.admit.format(database=database)]
        parts += [SQL.reset.format(database=database), *self._settled(seen["name"], roles, grantees, closed=closed)]
        with self.cluster.session(session) as admin:
            admin.execute(sql.SQL("\n").join(parts))

    def _settled(self, name: str, roles: ProjectRoles, grantees: list[str], *, closed: bool) -> list[sql.Composed]:
        """Return what takes these grantees' rights away, gives the project's roles theirs, and sets every limit."""
        database = sql.Identifier(name)
        taken = [sql.SQL("PUBLIC") if grantee == "public" else sql.Identifier(grantee) for grantee in grantees]
        return [
            SQL.revoke.format(database=database, grantees=sql.SQL(", ").join(taken)),
            SQL.grant_closed.format(database=database, **role_identifiers(roles)),
            *(() if closed else (SQL.grant_connect.format(database=database, **role_identifiers(roles)),)),
            *self._limits.alter_statements(name, roles),
        ]

    def drop_database(self, name: str, roles: ProjectRoles, session: str) -> None:
        """Remove the database, its sessions included, also if it never was; one that is not ours stays."""
        self.cluster.retry_races(lambda: self._drop_database(name, roles, session))

    def _drop_database(self, name: str, roles: ProjectRoles, session: str) -> None:
        with self.cluster.session(session, WHOLE_DATABASE) as admin:
            seen = self._look_at_database(admin, name)
            if not seen["present"] or not _is_ours(seen, roles):
                return
            if seen["connections"] != INVALID:
                # Otherwise a client that reconnects at once would come between the end of the sessions and the drop.
                admin.execute(SQL.forbid_connections.format(database=sql.Identifier(name)))
            admin.execute(SQL.drop_database.format(database=sql.Identifier(name)))

    def list_labelled(self, session: str = "launchdb-inventory") -> list[LabelledObject]:
        """List every database and role on the server that bears our label, whichever project it names."""
        with self.cluster.session(session) as admin:
            return [LabelledObject(*row) for row in admin.execute(SQL.labelled).fetchall()]

    def check_round_trip(
        self, uri: str, roles: ProjectRoles, session: str, look: Callable[[], None] | None = None
    ) -> None:
        """Go the data API's way once: log in, write as the service role, read as each; leave nothing.

        look  called several times a second meanwhile; may raise to have it ended

        Raises Unavailable, or Refused when the answer is not what row security makes of it.
        """
        with (
            tenant_session(self.cluster, uri, session, ROUND_TRIP, look=look, pooled=True) as login,
            login.cursor() as cursor,
        ):
            cursor.execute(SQL.prove.format(**role_identifiers(roles)))
            counts = [row[0] for row in _rows(cursor)]
        if counts != [1, 0, 0]:
            raise Refused("the project's database does not answer as its roles require")

    def uri(self, database: str, user: str, password: str) -> str:
        """Return the libpq URI with which `user` reaches `database`."""
        return self.cluster.uri(database, user, password)

    def close(self) -> None:
        """Give the sessions back."""
        self.cluster.close()


def _rights(roles: ProjectRoles, *, closed: bool) -> set[str]:
    admitted = () if closed else (roles.owner, roles.authenticator, roles.auth, roles.storage)
    return {
        f"{roles.dump}:CONNECT",
        f"{roles.owner}:CREATE",
        # Functions run as their caller; what they make is gone when the request is.
        *(f"{role}:TEMPORARY" for role in (roles.owner, *roles.api)),
        *(f"{login}:CONNECT" for login in admitted),
    }


def _is_ours(seen: dict[str, Any], roles: ProjectRoles) -> bool:
    return seen["owner"] == PLATFORM_OWNER and seen["label"] in (None, f"{LABEL}{roles.prefix}")


def _rows(cursor: psycopg.Cursor[Any]) -> list[tuple[Any, ...]]:
    return [row for found in cursor.results() if found.description for row in found.fetchall()]
