"""The login as which our own files change a project's database. It is there for one file, and can become nobody more.

Whatever a file touches may run a tenant's code: a check, a trigger, a default, a generated column. That code can give
back a role that was set, and is then whoever has logged in.
"""

from __future__ import annotations

import re
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

from psycopg import sql

from infra.errors import Refused
from infra.postgres import scram
from infra.postgres.admin.bounds import HOUR_SECONDS, WHOLE_DATABASE
from infra.postgres.role_names import TEMPLATE_AUTH, TEMPLATE_PUBLIC, TEMPLATE_STORAGE
from infra.postgres.sql import statements
from infra.postgres.tenant_session import Bounds, tenant_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from infra.postgres.cluster import Cluster
    from infra.postgres.role_names import ProjectRoles
    from infra.postgres.tenant_session import TenantSession

SQL = statements(__file__)
LABEL = "launchdb:"
# Who waits for a table lets nobody else through: not for long.
BOUNDS = Bounds(
    6 * HOUR_SECONDS,
    statement_seconds=HOUR_SECONDS,
    lock_seconds=5,
    idle_seconds=60,
    settings={"search_path": "launchdb", "default_transaction_read_only": "off", "client_min_messages": "warning"},
)


class UpgradeLogin:
    """The login and, for each role of the template's, one that takes its place. `session` names the run."""

    def __init__(self, cluster: Cluster, roles: ProjectRoles, database: str, session: str) -> None:
        self._cluster, self._roles, self._database, self._session = cluster, roles, database, session
        self._login = roles.upgrade
        self._parts = {
            TEMPLATE_PUBLIC: (f"{self._login}_public", roles.owner),
            TEMPLATE_AUTH: (f"{self._login}_auth", roles.auth),
            TEMPLATE_STORAGE: (f"{self._login}_storage", roles.storage),
        }

    @property
    def _names(self) -> list[str]:
        return [self._login, *(name for name, _ in self._parts.values())]

    def translate(self, text: str) -> str:
        """Return a file of ours with the roles of this project in the place of the template's."""
        for name, (part, _) in self._parts.items():
            text = re.sub(rf"\b{name}\b", part, text)
        return text

    @contextmanager
    def logged_in(self, look: Callable[[], None] | None = None) -> Iterator[TenantSession]:
        """Log in to the project's database. Once this is left, what was made is the project's, and the login is gone.

        look  called several times a second while something runs; may raise to have it ended

        Raises Refused when a role of its name is not ours, Unavailable.
        """
        password = secrets.token_urlsafe(32)
        self.drop()
        self._cluster.retry_races(lambda: self._make(password))
        try:
            uri = self._cluster.uri(self._database, self._login, password)
            with tenant_session(self._cluster, uri, self._session, BOUNDS, look=look) as login:
                yield login
        finally:
            self.drop()

    def _make(self, password: str) -> None:
        verifier = scram.verifier(password, rounds=scram.FEW_ROUNDS)
        login, label = sql.Identifier(self._login), sql.Literal(f"{LABEL}{self._roles.prefix}")
        statements_ = [SQL.make_login.format(login=login, label=label, password=sql.Literal(verifier))]
        statements_ += [
            SQL.make_part.format(part=sql.Identifier(part), label=label, of=sql.Identifier(of), login=login)
            for part, of in self._parts.values()
        ]
        statements_.append(SQL.admit.format(database=sql.Identifier(self._database), login=login))
        with self._cluster.open_in_database(self._database, self._session) as admin:
            admin.execute(sql.SQL("\n").join(statements_))

    def drop(self) -> None:
        """Remove login and roles, also those that an attempt of before has left; what they own becomes the project's.

        Raises Refused when a role of such a name is not ours, Unavailable.
        """
        self._cluster.retry_races(self._drop)

    def _drop(self) -> None:
        with self._cluster.session(self._session, WHOLE_DATABASE) as admin:
            found = dict(admin.execute(SQL.look, {"names": self._names}).fetchall())
            if not found:
                return
            if any(label != f"{LABEL}{self._roles.prefix}" for label in found.values()):
                raise Refused("a role of the upgrading login's name exists and is not ours")
            admin.execute(SQL.end_sessions, {"login": self._login})
            databases = [name for (name,) in admin.execute(SQL.depends_on, {"names": self._names}).fetchall()]
        there = sql.SQL(", ").join(sql.Identifier(name) for name in found)
        given = [
            SQL.give.format(part=sql.Identifier(part), of=sql.Identifier(of))
            for part, of in [*self._parts.values(), (self._login, self._roles.owner)]
            if part in found
        ]
        for name in databases:
            with self._cluster.open_in_database(name, self._session, WHOLE_DATABASE) as inside:
                inside.execute(sql.SQL("\n").join([*given, SQL.drop_owned.format(roles=there)]))
        with self._cluster.session(self._session) as admin:
            admin.execute(SQL.drop.format(roles=there))
