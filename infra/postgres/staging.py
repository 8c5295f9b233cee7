"""Databases beside a project's: one that a backup is restored into, and the swap that makes it the project's."""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from infra.errors import Refused, Unavailable
from infra.postgres import scram, stand_ins
from infra.postgres.database import INVALID
from infra.postgres.extensions import NOT_LISTED, OF_UNTRUSTED, create_untrusted, is_administrators, offered
from infra.postgres.project_roles import identifiers
from infra.postgres.role_names import PLATFORM_OWNER
from infra.postgres.sql import statements
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
LOOKS, LOOK_SECONDS = 50, 0.05
# How long transactions under way may take to come to their end, before a swap ends them.
DRAIN_SECONDS = 2.0


class Beside:
    """Verbs on the databases beside one project's. `session` names the run."""

    def __init__(self, databases: Databases, roles: ProjectRoles, session: str) -> None:
        self._databases, self._cluster = databases, databases.cluster
        self._roles, self._session = roles, session

    def mark(self, name: str) -> str | None:
        """Return by what restore a database was filled; None when there is none of ours, or it was not to its end."""
        if not self.exists(name):
            return None
        # Whoever died in the middle of a swap has left it closed.
        self._admit(name)
        with self._cluster.inside(name, self._session) as admin:
            row = admin.execute(SQL.marked).fetchone()
        return row[0] if row else None

    def make(self, name: str, version: str, without: Collection[str] = ()) -> None:
        """Let there be an empty database for a restore, one from before gone.

        version  the newest project migration when the backup was made
        without  which of the schemas that every project begins with are not in the backup: public stays away then,
                 the platform's own are there as in a new project
        """
        self.drop(name)
        database, label = sql.Identifier(name), sql.Literal(f"{LABEL}{self._roles.prefix}")
        templates = self._databases.templates
        if version == templates.version:
            template = sql.Identifier(templates.ensure(self._session))
            with self._cluster.session(self._session) as admin:
                admin.execute(SQL.copy.format(database=database, template=template))
        else:
            templates.build_at(name, version, self._session)
        with self._cluster.session(self._session) as admin:
            admin.execute(SQL.label.format(database=database, label=label))
        with self._cluster.inside(name, self._session) as admin:
            admin.execute(sql.SQL("\n").join(self._hollow(without)))

    def _hollow(self, without: Collection[str]) -> list[sql.Composed]:
        dropped = [schema for schema in BROUGHT if schema not in without]
        roles = identifiers(self._roles)
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
        self._cluster.persistently(lambda: self._make_restorer(name, password))
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
        known = offered(self._cluster, self._session).get(extension)
        if known is None or known.reason:
            raise Refused(f"the backup needs the extension {extension}: {known.reason if known else NOT_LISTED}")
        if known.trusted and not (schema == OF_UNTRUSTED and is_administrators(login)):
            schema_there = sql.SQL(schema)  # quoted by pg_dump
            login.execute(SQL.extension.format(name=sql.Identifier(extension), schema=schema_there))
            return
        with self._cluster.inside(name, self._session) as admin:
            create_untrusted(admin, extension)

    def settle(self, name: str) -> None:
        """Let the restored things be the owner's, and the login that made them be gone."""
        parts = {
            "restorer": sql.Identifier(self._roles.restore),
            "owner": sql.Identifier(self._roles.owner),
        }
        with self._cluster.inside(name, self._session) as admin, admin.transaction():
            admin.execute(SQL.settle.format(**parts))
            admin.execute(SQL.stamp)
        self._cluster.persistently(self._drop_restorer)

    def admit(self, name: str, login: str) -> None:
        """Let one login of the project in."""
        with self._cluster.session(self._session) as admin:
            admin.execute(SQL.admit.format(database=sql.Identifier(name), login=sql.Identifier(login)))

    def set_mark(self, name: str, mark: str) -> None:
        """Say by what restore a database was filled to its end."""
        with self._cluster.inside(name, self._session) as admin:
            admin.execute(SQL.mark.format(mark=sql.Literal(mark)))

    def drop_restorer(self) -> None:
        """Let the login that restores be gone, whatever it still owns, and who stood in for absent roles."""
        self._cluster.persistently(lambda: stand_ins.drop_all(self._cluster, self._roles, self._session))
        self._cluster.persistently(self._drop_restorer)

    def _drop_restorer(self) -> None:
        restorer = sql.Identifier(self._roles.restore)
        with self._cluster.session(self._session) as admin:
            row = admin.execute(SQL.role, {"name": self._roles.restore}).fetchone()
            if row is None or row[0] != f"{LABEL}{self._roles.prefix}":
                return
            found = admin.execute(SQL.depends_on, {"name": self._roles.restore}).fetchall()
        for (database,) in found:
            with self._cluster.inside(database, self._session) as inside:
                inside.execute(SQL.drop_owned.format(restorer=restorer))
        with self._cluster.session(self._session) as admin:
            admin.execute(SQL.drop_role.format(restorer=restorer))

    def swap(self, live: str, restored: str, before: str) -> None:
        """Let the restored database be the live one and the live one be kept, in one step.

        Where there is no live one, the restored one takes its name. Raises Unavailable while sessions keep coming.
        """
        if not self.exists(restored):
            return
        if self.exists(live):
            self.drop(before)
        else:
            self.drop(live)  # of one that is half dropped there is nothing to keep
        names = [name for name in (live, restored) if self.exists(name)]
        pairs = [(live, before), (restored, live)] if live in names else [(restored, live)]
        try:
            self._rename(names, pairs)
        finally:
            self._admit(live, restored)

    def swap_back(self, live: str, before: str) -> None:
        """Let what was kept be the live one again, and what was live be gone.

        Raises Refused when what was kept is half dropped: nothing of it can be had any more.
        """
        spare = f"{live}_restored"
        if self.exists(before):
            self.drop(spare)
            there = self.exists(live)
            if not there:
                self.drop(live)
            pairs = [(live, spare), (before, live)] if there else [(before, live)]
            try:
                self._rename([name for name, _ in pairs], pairs)
            finally:
                self._admit(live)
        elif self._look(before):
            raise Refused("the database from before the restore is half dropped")
        self.drop(spare)

    def drop(self, name: str) -> None:
        """Let such a database be gone, also one that an interrupted drop has left; one that is not ours stays."""
        self._cluster.persistently(lambda: self._drop(name))

    def _drop(self, name: str) -> None:
        if self._look(name):
            with self._cluster.session(self._session) as admin:
                admin.execute(SQL.drop.format(database=sql.Identifier(name)))

    def exists(self, name: str) -> bool:
        """Say whether there is such a database of this project's. One that is half dropped can only be dropped."""
        seen = self._look(name)
        return seen is not None and seen["connections"] != INVALID

    def _rename(self, names: list[str], pairs: list[tuple[str, str]]) -> None:
        renames = [SQL.rename.format(name=sql.Identifier(a), other=sql.Identifier(b)) for a, b in pairs]
        with self._cluster.session(self._session) as admin:
            for name in names:
                admin.execute(SQL.forbid.format(database=sql.Identifier(name)))
            drained = time.monotonic() + DRAIN_SECONDS
            while _busy(admin, names) and time.monotonic() < drained:
                time.sleep(LOOK_SECONDS)
            for _look in range(LOOKS):
                admin.execute(SQL.end_sessions, {"names": names})
                try:
                    with admin.transaction():
                        for rename in renames:
                            admin.execute(rename)
                except psycopg.errors.ObjectInUse:
                    time.sleep(LOOK_SECONDS)
                else:
                    return
        raise Unavailable("sessions of the project could not be ended")

    def _admit(self, *names: str) -> None:
        with self._cluster.session(self._session) as admin:
            for name in names:
                if self.exists(name):
                    admin.execute(SQL.allow.format(database=sql.Identifier(name)))

    def _look(self, name: str) -> dict[str, Any] | None:
        """Return what there is of this name, if it is ours."""
        with self._cluster.session(self._session) as admin, admin.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(SQL.look, {"name": name}).fetchone()
        known = (None, f"{LABEL}{self._roles.prefix}")
        return row if row and row["owner"] == PLATFORM_OWNER and row["label"] in known else None


def _busy(admin: psycopg.Connection[Any], names: list[str]) -> bool:
    """End the sessions that do nothing; say whether others are in the middle of something."""
    row = admin.execute(SQL.end_idle, {"names": names}).fetchone()
    return bool(row and row[0])
