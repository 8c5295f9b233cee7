"""Databases and roles of projects on the cluster, as wanted ends: ensured, dropped, listed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from infra import scram
from infra.database import CONNECT_TIMEOUT_SECONDS, translated
from infra.errors import Refused
from infra.roles import PLATFORM_OWNER, SHARED, ProjectRoles
from infra.sql import statements
from infra.template import Templates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from config.settings import Settings

    from infra.cluster import Cluster, Session

SQL = statements(__file__)
INVALID = -2
LABEL = "launchdb:"


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
        self._private = ["postgres", "template1", platform]

    def ensure_shared_roles(self, session: str) -> None:
        """Make the roles that all projects share, and close the cluster's own databases to the public."""
        with self.cluster.session(session) as admin, admin.transaction():
            admin.execute(SQL.shared_lock)
            missing = admin.execute(SQL.missing_shared, {"names": list(SHARED)}).fetchall()
            public = admin.execute(SQL.open_to_public, {"names": self._private}).fetchall()
            parts = [SQL.shared_role.format(role=sql.Identifier(name)) for (name,) in missing]
            parts += [SQL.close_to_public.format(database=sql.Identifier(name)) for (name,) in public]
            if parts:
                admin.execute(sql.SQL("\n").join(parts))

    def ensure_roles(self, roles: ProjectRoles, passwords: Mapping[str, str], session: str) -> None:
        """Let the project have exactly its roles, whose logins take these passwords (random, stored beforehand).

        Raises Refused when a role of such a name is not ours.
        """
        self.cluster.persistently(lambda: self._ensure_roles(roles, passwords, session))

    def _ensure_roles(self, roles: ProjectRoles, passwords: Mapping[str, str], session: str) -> None:
        wanted = [_Role.of(roles, name) for name in roles.all]
        label = f"{LABEL}{roles.prefix}"
        known = self._look_at_roles([*roles.all, *SHARED], session)
        if any(name not in known for name in SHARED):
            self.ensure_shared_roles(session)
        if any(known[name]["label"] != label for name in roles.all if name in known):
            raise Refused("a role of this project's name exists and is not ours")
        parts = [
            part
            for role in wanted
            if not role.is_met_by(known.get(role.name), passwords.get(role.name))
            for part in role.statements(passwords.get(role.name), label, exists=role.name in known)
        ]
        if parts:
            named = {name: sql.Identifier(getattr(roles, name)) for name in _MEMBERS}
            with self.cluster.session(session) as admin:
                admin.execute(sql.SQL("\n").join([*parts, SQL.memberships.format(**named)]))

    def _look_at_roles(self, names: list[str], session: str) -> dict[str, dict[str, Any]]:
        with self.cluster.session(session) as admin, admin.cursor(row_factory=dict_row) as cursor:
            return {row["name"]: row for row in cursor.execute(SQL.look_at_roles, {"names": names})}

    def ensure_database(self, name: str, roles: ProjectRoles, session: str) -> None:
        """Let the project have its database: a copy of the template, owned and granted as the project's roles need.

        Raises Refused when a database of this name is not ours.
        """
        self.cluster.persistently(lambda: self._ensure_database(name, roles, session))

    def _ensure_database(self, name: str, roles: ProjectRoles, session: str) -> None:
        with self.cluster.session(session) as admin:
            seen = self._look_at_database(admin, name)
            if seen["present"] and seen["connections"] == INVALID:
                admin.execute(SQL.drop_database.format(database=sql.Identifier(name)))
                seen = {**seen, "present": False}
            if seen["present"]:
                _check_ours(seen, roles)
            else:
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
        named = {part: sql.Identifier(getattr(roles, part)) for part in _MEMBERS}
        parts = [
            SQL.furnish.format(database=database, label=sql.Literal(f"{LABEL}{roles.prefix}"), **named),
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
        """Let the database be gone, its sessions included, also if it never was. Raises Refused if it is not ours."""
        self.cluster.persistently(lambda: self._drop_database(name, roles, session))

    def _drop_database(self, name: str, roles: ProjectRoles, session: str) -> None:
        with self.cluster.session(session) as admin:
            seen = self._look_at_database(admin, name)
            if not seen["present"]:
                return
            if seen["connections"] != INVALID:
                _check_ours(seen, roles)
                # Otherwise a client that reconnects at once would come between the end of the sessions and the drop.
                admin.execute(SQL.forbid_connections.format(database=sql.Identifier(name)))
            admin.execute(SQL.drop_database.format(database=sql.Identifier(name)))

    def drop_roles(self, roles: ProjectRoles, session: str) -> None:
        """Let the project's roles be gone, with whatever still names them; roles that are not ours stay."""
        self.cluster.persistently(lambda: self._drop_roles(roles, session))

    def _drop_roles(self, roles: ProjectRoles, session: str) -> None:
        known = self._look_at_roles(list(roles.all), session)
        ours = [name for name, row in known.items() if row["label"] == f"{LABEL}{roles.prefix}"]
        if not ours:
            return
        names = sql.SQL(", ").join(map(sql.Identifier, sorted(ours)))
        try:
            with self.cluster.session(session) as admin:
                admin.execute(SQL.drop_roles.format(roles=names))
        except psycopg.errors.DependentObjectsStillExist:
            self._drop_owned(ours, names, session)
            with self.cluster.session(session) as admin:
                admin.execute(SQL.drop_roles.format(roles=names))

    def _drop_owned(self, ours: list[str], names: sql.Composed, session: str) -> None:
        with self.cluster.session(session) as admin:
            found = admin.execute(SQL.depends_on, {"names": ours}).fetchall()
        for (database,) in found:
            with self.cluster.inside(database or "postgres", session) as admin:
                admin.execute(SQL.drop_owned.format(roles=names))

    def labelled(self, session: str = "launchdb-inventory") -> list[Labelled]:
        """List every database and role on the server that bears our label, whichever project it names."""
        with self.cluster.session(session) as admin:
            return [Labelled(*row) for row in admin.execute(SQL.labelled).fetchall()]

    def prove(self, uri: str, roles: ProjectRoles, session: str) -> None:
        """Go the data API's way once: log in, write as the service role, read as each; leave nothing.

        Raises Unavailable, or Refused when the answer is not what row security makes of it.
        """
        named = {part: sql.Identifier(getattr(roles, part)) for part in ("anon", "authenticated", "service")}
        with (
            translated(),
            psycopg.connect(
                uri, autocommit=True, application_name=session, connect_timeout=int(CONNECT_TIMEOUT_SECONDS)
            ) as login,
            login.cursor() as cursor,
        ):
            cursor.execute(SQL.prove.format(**named))
            counts = [row[0] for row in _rows(cursor)]
        if counts != [1, 0, 0]:
            raise Refused("the project's database does not answer as its roles require")

    def uri(self, database: str, user: str, password: str) -> str:
        """Return the libpq URI with which `user` reaches `database`."""
        return self.cluster.uri(database, user, password)

    def close(self) -> None:
        """Give the sessions back."""
        self.cluster.close()


_MEMBERS = ("anon", "authenticated", "service", "owner", "authenticator", "auth", "storage", "dump")


@dataclass(frozen=True)
class _Role:
    """What one role of a project has to be."""

    name: str
    login: bool = False
    inherit: bool = True
    bypass: bool = False
    rounds: int = scram.FEW_ROUNDS
    settings: tuple[str, ...] = ()

    @classmethod
    def of(cls, roles: ProjectRoles, name: str) -> _Role:
        special: dict[str, dict[str, Any]] = {
            roles.service: {"bypass": True},
            roles.owner: {"rounds": scram.CLIENT_ROUNDS},
            roles.authenticator: {"inherit": False},
            roles.storage: {"inherit": False},
            roles.dump: {"bypass": True, "settings": ("default_transaction_read_only=on",)},
        }
        return cls(name, login=name in roles.logins, **special.get(name, {}))

    def is_met_by(self, row: dict[str, Any] | None, password: str | None) -> bool:
        if row is None or row["mighty"] or not row["member_of"] and self.name.endswith(("_anon", "_owner", "_dump")):
            return False
        if (row["login"], row["inherit"], row["bypass"]) != (self.login, self.inherit, self.bypass):
            return False
        if tuple(row["settings"] or ()) != self.settings:
            return False
        return password is None or scram.matches(row["password"], password)

    def statements(self, password: str | None, label: str, *, exists: bool) -> list[sql.Composed]:
        role = sql.Identifier(self.name)
        verifier = scram.verifier(password, rounds=self.rounds) if password else None
        made = SQL.make_role.format(
            verb=sql.SQL("ALTER" if exists else "CREATE"),
            role=role,
            login=sql.SQL("LOGIN" if self.login else "NOLOGIN"),
            inherit=sql.SQL("INHERIT" if self.inherit else "NOINHERIT"),
            bypass=sql.SQL("BYPASSRLS" if self.bypass else "NOBYPASSRLS"),
            password=sql.SQL("PASSWORD {}").format(sql.Literal(verifier)) if verifier else sql.SQL("PASSWORD NULL"),
        )
        parts = [made, SQL.label_role.format(role=role, label=sql.Literal(label))]
        if exists:
            parts.append(SQL.reset_role.format(role=role))
        for setting in self.settings:
            key, _, value = setting.partition("=")
            parts.append(
                SQL.role_setting.format(role=role, setting=sql.Identifier(key), value=sql.Literal(value)),
            )
        return parts


def _check_ours(seen: dict[str, Any], roles: ProjectRoles) -> None:
    if seen["owner"] != PLATFORM_OWNER or seen["label"] not in (None, f"{LABEL}{roles.prefix}"):
        raise Refused("a database of this project's name exists and is not ours")


def _rows(cursor: psycopg.Cursor[Any]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    more: bool | None = True
    while more:
        if cursor.description:
            rows += cursor.fetchall()
        more = cursor.nextset()
    return rows
