"""Databases beside a project's: a copy of the template that its backup is restored into, as a login for that alone."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from infra.errors import Refused
from infra.postgres import scram, stand_ins
from infra.postgres.admin.bounds import WHOLE_DATABASE
from infra.postgres.extensions import (
    NOT_LISTED,
    OF_UNTRUSTED,
    available_extensions,
    create_untrusted,
    is_administrators_schema,
)
from infra.postgres.project_roles import role_identifiers
from infra.postgres.role_names import PLATFORM_OWNER
from infra.postgres.sql import statements
from infra.postgres.staging import StagingDatabase
from infra.postgres.tenant_session import DAY_SECONDS, Bounds, tenant_session

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from infra.postgres.databases import Databases
    from infra.postgres.role_names import ProjectRoles
    from infra.postgres.tenant_session import TenantSession

SQL = statements(__file__)
LABEL = "launchdb:"
# Settings that a tenant may have chosen for his roles do not reach this login; what it writes is checked before it
# counts, so no statement has to wait for the disk. Indexes are built in memory, as far as that goes.
SETTINGS = {"maintenance_work_mem": "256MB", "synchronous_commit": "off", "client_min_messages": "error"}
BOUNDS = Bounds(DAY_SECONDS, statement_seconds=0, lock_seconds=60, idle_seconds=0, settings=SETTINGS)
# Schemas of the template that a dump brings.
BROUGHT = ("auth", "storage", "extensions")


class ProjectStaging(StagingDatabase):
    """Verbs on the databases beside one project's. `session` names the run."""

    def __init__(self, databases: Databases, roles: ProjectRoles, session: str) -> None:
        super().__init__(databases.cluster, session, label=f"{LABEL}{roles.prefix}")
        self._databases, self._roles = databases, roles

    def mark(self, name: str) -> str | None:
        """Return by what restore a database was filled; None when there is none of ours, or it was not to its end."""
        if not self.exists(name):
            return None
        self.open(name)
        with self._cluster.open_in_database(name, self._session) as admin:
            row = admin.execute(SQL.marked).fetchone()
        return row[0] if row else None

    def create_empty(self, name: str, version: str, without: Collection[str] = ()) -> None:
        """Create an empty database for a restore, one from before dropped.

        version  the newest project migration when the backup was made
        without  which of the schemas that every project begins with are not in the backup: public stays away then,
                 the platform's own are there as in a new project
        """
        templates = self._databases.templates
        if version == templates.version:
            self.create(name, template=templates.ensure(self._session), owner=PLATFORM_OWNER)
        else:
            self.drop(name)
            templates.build_version(name, version, self._session)
            self.close(name)
        with self._cluster.open_in_database(name, self._session) as admin:
            admin.execute(sql.SQL("\n").join(self._hollow(without)))

    def _hollow(self, without: Collection[str]) -> list[sql.Composed]:
        dropped = [schema for schema in BROUGHT if schema not in without]
        roles = role_identifiers(self._roles)
        parts = [SQL.hollow.format(**roles)]
        parts += [SQL.drop_schema.format(schema=sql.Identifier(schema)) for schema in dropped]
        if len(dropped) < len(BROUGHT):
            parts.append(SQL.give.format(**roles))
        return [*parts, SQL.drop_schema.format(schema=sql.Identifier("public"))] if "public" in without else parts

    @contextmanager
    def restorer(self, name: str, look: Callable[[], None] | None = None) -> Iterator[TenantSession]:
        """Log in to such a database as the role that may make everything of this project's and nothing else's.

        look  called several times a second while something runs; may raise to have it ended

        Raises Refused when a role of its name is not ours, Unavailable.
        """
        password = secrets.token_urlsafe(32)
        self._cluster.retry_races(lambda: self._make_restorer(name, password))
        uri = self._databases.uri(name, self._roles.restore, password)
        with tenant_session(self._cluster, uri, self._session, BOUNDS, look=look) as login:
            yield login

    def _make_restorer(self, name: str, password: str) -> None:
        restorer, label = sql.Identifier(self._roles.restore), f"{LABEL}{self._roles.prefix}"
        with self._cluster.session(self._session) as admin:
            row = admin.execute(SQL.role, {"name": self._roles.restore}).fetchone()
            if row and row[0] not in (None, label):
                raise Refused("a role of the restoring login's name exists and is not ours")
            verifier = scram.verifier(password, rounds=scram.FEW_ROUNDS)
            parts = [
                SQL.restorer.format(
                    verb=sql.SQL("ALTER" if row else "CREATE"), restorer=restorer, password=sql.Literal(verifier)
                ),
                # Versions before made it a member of that one as well.
                *((SQL.no_member.format(dump=sql.Identifier(self._roles.dump), restorer=restorer),) if row else ()),
                SQL.label_role.format(restorer=restorer, label=sql.Literal(label)),
                SQL.memberships.format(
                    # Not the login that dumps: the tenant's functions run here, and it reads what no tenant may.
                    roles=sql.SQL(", ").join(sql.Identifier(r) for r in self._roles.all if r != self._roles.dump),
                    restorer=restorer,
                ),
                SQL.admit_restorer.format(
                    database=sql.Identifier(name),
                    restorer=restorer,
                    dump=sql.Identifier(self._roles.dump),
                    owner=sql.Identifier(self._roles.owner),
                ),
            ]
            admin.execute(sql.SQL("\n").join(parts))

    def extend(self, name: str, login: psycopg.Connection[Any], extension: str, schema: str) -> None:
        """Create an extension that the dump names, by whoever may: one that is not trusted where those always lie.

        Raises Refused when this server lacks it or refuses.
        """
        known = available_extensions(self._cluster, self._session).get(extension)
        if known is None or known.reason:
            raise Refused(f"the backup needs the extension {extension}: {known.reason if known else NOT_LISTED}")
        if known.trusted and not (schema == OF_UNTRUSTED and is_administrators_schema(login)):
            schema_there = sql.SQL(schema)  # quoted by pg_dump
            login.execute(SQL.extension.format(name=sql.Identifier(extension), schema=schema_there))
            return
        with self._cluster.open_in_database(name, self._session) as admin:
            create_untrusted(admin, extension, alone=True)

    def settle(self, name: str) -> None:
        """Give the restored things to the owner, and remove the login that made them."""
        parts = {
            "restorer": sql.Identifier(self._roles.restore),
            "owner": sql.Identifier(self._roles.owner),
        }
        with self._cluster.open_in_database(name, self._session, WHOLE_DATABASE) as admin, admin.transaction():
            admin.execute(SQL.settle.format(**parts))
            admin.execute(SQL.stamp)
        self._cluster.retry_races(self._drop_restorer)

    def set_mark(self, name: str, mark: str) -> None:
        """Record by what restore a database was filled to its end."""
        with self._cluster.open_in_database(name, self._session) as admin:
            admin.execute(SQL.mark.format(mark=sql.Literal(mark)))

    def drop_restorer(self) -> None:
        """Remove the login that restores, whatever it still owns, and who stood in for absent roles."""
        self._cluster.retry_races(lambda: stand_ins.drop_all(self._cluster, self._roles, self._session))
        self._cluster.retry_races(self._drop_restorer)

    def _drop_restorer(self) -> None:
        restorer = sql.Identifier(self._roles.restore)
        with self._cluster.session(self._session) as admin:
            row = admin.execute(SQL.role, {"name": self._roles.restore}).fetchone()
            if row is None or row[0] != f"{LABEL}{self._roles.prefix}":
                return
            found = admin.execute(SQL.depends_on, {"name": self._roles.restore}).fetchall()
        for (database,) in found:
            with self._cluster.open_in_database(database, self._session, WHOLE_DATABASE) as inside:
                inside.execute(SQL.drop_owned.format(restorer=restorer))
        with self._cluster.session(self._session) as admin:
            admin.execute(SQL.drop_role.format(restorer=restorer))
