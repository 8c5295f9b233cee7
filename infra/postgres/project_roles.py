"""Roles on the cluster, as wanted ends: the shared ones and each project's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from infra.errors import Refused
from infra.postgres import scram
from infra.postgres.admin.bounds import WHOLE_DATABASE
from infra.postgres.cluster import MAINTENANCE
from infra.postgres.role_names import (
    POOLER,
    SHARED,
    SHARED_ANON,
    SHARED_AUTHENTICATED,
    SHARED_OWNER,
    SHARED_SERVICE,
    ProjectRoles,
)
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.postgres.cluster import Cluster, Session

SQL = statements(__file__)
LABEL = "launchdb:"
READ_ALL = "pg_read_all_data"


class RoleAdmin:
    """Verbs on roles. `session` names the run: sessions of an older attempt are ended by that name."""

    def __init__(self, cluster: Cluster, *, platform: str) -> None:
        self._cluster = cluster
        self._private = [MAINTENANCE, "template1", platform]

    def ensure_shared(self, session: str) -> None:
        """Make the roles that all projects share, and close the cluster's own databases to the public."""
        with self._cluster.session(session) as admin, admin.transaction():
            admin.execute(SQL.lock_shared)
            # A backup of the platform names the pooler's role, also where it is restored without a pooler.
            missing = admin.execute(SQL.missing_shared, {"names": [*SHARED, POOLER]}).fetchall()
            public = admin.execute(SQL.open_to_public, {"names": self._private}).fetchall()
            parts = [SQL.make_shared.format(role=sql.Identifier(name)) for (name,) in missing]
            parts += [SQL.close_to_public.format(database=sql.Identifier(name)) for (name,) in public]
            if parts:
                admin.execute(sql.SQL("\n").join(parts))

    def ensure(self, roles: ProjectRoles, passwords: Mapping[str, str], session: str) -> None:
        """Ensure that the project has exactly its roles. Raises Refused when a role of such a name is not ours."""
        label = f"{LABEL}{roles.prefix}"
        known = self.read_roles([*roles.all, *SHARED], session)
        if any(name not in known for name in SHARED):
            self.ensure_shared(session)
        if any(known[name]["label"] != label for name in roles.all if name in known):
            raise Refused("a role of this project's name exists and is not ours")
        parts = [
            part
            for role in _roles(roles)
            if role.faults(known.get(role.name), passwords.get(role.name))
            for part in role.statements(passwords.get(role.name), label, known.get(role.name))
        ]
        if parts:
            with self._cluster.session(session) as admin:
                admin.execute(sql.SQL("\n").join([*parts, SQL.memberships.format(**role_identifiers(roles))]))

    def differences(
        self, known: Mapping[str, Mapping[str, Any]], roles: ProjectRoles, passwords: Mapping[str, str]
    ) -> list[str]:
        """Return in words in what the project's roles, as `look` found them, differ from what they have to be."""
        label = f"{LABEL}{roles.prefix}"
        found = [
            f"role {role.name}: {fault}"
            for role in _roles(roles)
            for fault in role.faults(known.get(role.name), passwords.get(role.name))
        ]
        strange = [name for name in roles.all if name in known and known[name]["label"] != label]
        return found + [f"role {name}: it does not bear our label" for name in strange]

    def drop(self, roles: ProjectRoles, session: str) -> None:
        """Remove the project's roles, with whatever still names them; roles that are not ours stay."""
        known = self.read_roles(list(roles.all), session)
        ours = [name for name, row in known.items() if row["label"] == f"{LABEL}{roles.prefix}"]
        if not ours:
            return
        names = sql.SQL(", ").join(map(sql.Identifier, sorted(ours)))
        try:
            self._drop(names, session)
        except psycopg.errors.DependentObjectsStillExist:
            self._drop_owned(ours, names, session)
            self._drop(names, session)

    def _drop(self, names: sql.Composed, session: str) -> None:
        with self._cluster.session(session) as admin:
            admin.execute(SQL.drop.format(roles=names))

    def _drop_owned(self, ours: list[str], names: sql.Composed, session: str) -> None:
        with self._cluster.session(session) as admin:
            found = admin.execute(SQL.depends_on, {"names": ours}).fetchall()
        for (database,) in found:
            with self._cluster.open_in_database(database or MAINTENANCE, session, WHOLE_DATABASE) as admin:
                admin.execute(SQL.drop_owned.format(roles=names))

    def read_roles(self, names: list[str], session: str) -> dict[str, dict[str, Any]]:
        """Return these roles as they are."""
        with self._cluster.session(session) as admin:
            return self.read_roles_by(admin, names)

    def read_roles_by(self, admin: Session, names: list[str] | None) -> dict[str, dict[str, Any]]:
        """Return these roles as they are, or with None every one that is named as a project's."""
        with admin.cursor(row_factory=dict_row) as cursor:
            return {row["name"]: row for row in cursor.execute(SQL.look, {"names": names})}


def role_identifiers(roles: ProjectRoles) -> dict[str, sql.Identifier]:
    """Return the project's roles by the part they play, as statements name them."""
    return {name.rpartition("_")[2]: sql.Identifier(name) for name in roles.all}


@dataclass(frozen=True)
class _Role:
    """What one role of a project has to be."""

    name: str
    login: bool = False
    inherit: bool = True
    bypass: bool = False
    rounds: int = scram.FEW_ROUNDS
    settings: tuple[str, ...] = ()
    member_of: tuple[str, ...] = ()
    memberships: frozenset[tuple[str, str, str]] = frozenset()

    @classmethod
    def of(cls, roles: ProjectRoles, name: str) -> _Role:
        special: dict[str, dict[str, Any]] = {
            roles.anon: {"member_of": (SHARED_ANON,)},
            roles.authenticated: {"member_of": (SHARED_AUTHENTICATED,)},
            roles.service: {"bypass": True, "member_of": (SHARED_SERVICE,)},
            roles.owner: {"rounds": scram.CLIENT_ROUNDS, "member_of": (roles.auth, roles.storage, SHARED_OWNER)},
            roles.authenticator: {"inherit": False, "member_of": roles.api},
            # Its clients wait, and what stands in public is found by nobody who does not name it.
            roles.auth: {"settings": ("search_path=pg_catalog", "statement_timeout=20s", "lock_timeout=5s")},
            roles.storage: {"inherit": False, "member_of": roles.api},
            roles.dump: {
                "bypass": True,
                # What an owner took from themselves is read as well, large objects included.
                "member_of": (roles.owner, READ_ALL),
                "settings": ("default_transaction_read_only=on", "lo_compat_privileges=on"),
            },
        }
        return cls(name, login=name in roles.logins, **special.get(name, {}))

    def faults(self, row: Mapping[str, Any] | None, password: str | None) -> list[str]:
        """Return in words in what the role, as it was found, differs from this."""
        if row is None:
            return ["it is missing"]
        right = (self.login, self.inherit, self.bypass, False, None)
        seen = (row["login"], row["inherit"], row["bypass"], row["mighty"], row["bounded"] or None)
        chosen = sorted({setting.partition("=")[0] for setting in set(row["settings"] or ()) - set(self.settings)})
        which = (
            f" ({', '.join([*chosen, *(f'some in {name}' for name in row['set_in'])])})"
            if chosen or row["set_in"]
            else ""
        )
        differs = {
            "its attributes were changed": seen != right,
            "its memberships were changed": {tuple(edge[:3]) for edge in row["memberships"]} != self.memberships,
            f"its settings were changed{which}": tuple(row["settings"] or ()) != self.settings or bool(row["set_in"]),
            "its password was changed": not _opens(row["password"], password, login=self.login),
        }
        return [fault for fault, found in differs.items() if found]

    def statements(self, password: str | None, label: str, row: Mapping[str, Any] | None) -> list[sql.Composed]:
        """Return what makes the role this, or mends the one that was found."""
        role = sql.Identifier(self.name)
        verifier = scram.verifier(password, rounds=self.rounds) if password else None
        made = SQL.make.format(
            verb=sql.SQL("ALTER" if row else "CREATE"),
            role=role,
            login=sql.SQL("LOGIN" if self.login else "NOLOGIN"),
            inherit=sql.SQL("INHERIT" if self.inherit else "NOINHERIT"),
            bypass=sql.SQL("BYPASSRLS" if self.bypass else "NOBYPASSRLS"),
            password=sql.SQL("PASSWORD {}").format(sql.Literal(verifier)),  # None is PASSWORD NULL
        )
        settings = [setting.partition("=") for setting in self.settings]
        return [
            made,
            SQL.label.format(role=role, label=sql.Literal(label)),
            *(self._undone(row) if row else ()),
            *(
                SQL.setting.format(role=role, setting=sql.Identifier(key), value=sql.Literal(value))
                for key, _, value in settings
            ),
        ]

    def _undone(self, row: Mapping[str, Any]) -> list[sql.Composed]:
        """Return what takes settings and memberships away that the role does not have to have."""
        role = sql.Identifier(self.name)
        parts = [SQL.reset.format(role=role)]
        if row["bounded"]:
            parts.append(SQL.unbounded.format(role=role))
        parts += [SQL.reset_in.format(role=role, database=sql.Identifier(name)) for name in row["set_in"]]
        for granted, member, options, grantor in row["memberships"]:
            if (granted, member, options) not in self.memberships:
                who = {"granted": granted, "member": member, "grantor": grantor}
                parts.append(SQL.take_back.format(**{part: sql.Identifier(name) for part, name in who.items()}))
        return parts


def _roles(roles: ProjectRoles) -> list[_Role]:
    """Return what each role of a project has to be, its place among the others included."""
    plain = [_Role.of(roles, name) for name in roles.all]
    # Who inherits is given rights, who does not is given names to become: never both.
    edges = {(granted, role.name, "i" if role.inherit else "s") for role in plain for granted in role.member_of}
    return [replace(role, memberships=frozenset(e for e in edges if role.name in e[:2])) for role in plain]


def _opens(verifier: str | None, password: str | None, *, login: bool) -> bool:
    """Return whether a role's password is the stored one; a login whose password was not asked about passes."""
    if password is None:
        return login or verifier is None
    return scram.matches(verifier, password)
