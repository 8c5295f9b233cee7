"""What became of the template since a project was copied from it, done to the copy: each file once, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from infra.errors import Refused
from infra.postgres import migrations
from infra.postgres.admin.bounds import WHOLE_DATABASE
from infra.postgres.admin.upgrade_login import UpgradeLogin
from infra.postgres.database import is_transient
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from infra.postgres.cluster import Cluster, Session
    from infra.postgres.migrations import Migration
    from infra.postgres.role_names import ProjectRoles

SQL = statements(__file__)
# Files that change nothing but what is ours alone: schema launchdb and its event triggers, which only a superuser may.
# A new one says so in its first line; nothing in it may come by what a tenant has made.
BY_ADMINISTRATOR = "-- by: administrator\n"
FIRST_BY_ADMINISTRATOR = frozenset({"004_refreshes"})


@dataclass(frozen=True)
class AppliedUpgrade:
    """A line of the ledger in a project's database, which only we can write."""

    version: str
    checksum: str
    applied_at: datetime


@dataclass(frozen=True)
class UpgradeStatus:
    """How far a project's database is.

    missing  what this program would apply, in order
    edited   versions whose file is another than the one that was applied
    ahead    versions that this program does not have: a newer one has been here
    """

    applied: tuple[AppliedUpgrade, ...]
    missing: tuple[str, ...]
    edited: tuple[str, ...]
    ahead: tuple[str, ...]


class TemplateUpgrades:
    """Brings copies of older templates up to the files of `folder`."""

    def __init__(self, cluster: Cluster, folder: str) -> None:
        self._cluster = cluster
        self._files = {migration.version: migration for migration in migrations.read_migrations(folder)}

    def status(self, database: str, session: str) -> UpgradeStatus:
        """Return how far a project's database is. Raises Unavailable, Refused when there is no ledger in it."""
        with self._cluster.open_in_database(database, session) as admin:
            applied = _ledger(admin)
        known = {line.version: line.checksum for line in applied}
        return UpgradeStatus(
            applied=tuple(applied),
            missing=tuple(version for version in self._files if version not in known),
            edited=tuple(v for v, file in self._files.items() if v in known and known[v] != file.checksum),
            ahead=tuple(version for version in known if version not in self._files),
        )

    def apply(
        self, version: str, database: str, roles: ProjectRoles, session: str, look: Callable[[], None] | None = None
    ) -> None:
        """Apply this version to a project: file and line of the ledger come together, or neither does.

        look  called several times a second while it runs; may raise to have it ended

        Raises Refused with the server's reason when the file does not apply, Unavailable when somebody is in the way.
        """
        file = self._files[version]
        login = UpgradeLogin(self._cluster, roles, database, session)
        if file.text.startswith(BY_ADMINISTRATOR) or version in FIRST_BY_ADMINISTRATOR:
            login.drop()
            self._cluster.retry_races(lambda: self._apply_as_administrator(file, database, session))
        else:
            self._cluster.retry_races(lambda: self._apply_as_login(file, login, look))

    def _apply_as_administrator(self, file: Migration, database: str, session: str) -> None:
        with self._cluster.open_in_database(database, session, WHOLE_DATABASE) as admin, admin.transaction():
            admin.execute(SQL.begin)
            if _run_unless_recorded(admin, file, file.text):
                admin.execute(SQL.stamp)

    def _apply_as_login(self, file: Migration, login: UpgradeLogin, look: Callable[[], None] | None) -> None:
        # What it changes is stamped by the event triggers, as what an owner changes is.
        with login.logged_in(look) as session, session.transaction():
            _run_unless_recorded(session, file, login.translate(file.text))


def _run_unless_recorded(session: Session, file: Migration, text: str) -> bool:
    if file.version in {line.version for line in _ledger(session)}:
        return False
    try:
        session.execute(sql.SQL(text))  # our own file, not outside input
    except psycopg.Error as error:
        if is_transient(error) or isinstance(error, psycopg.errors.QueryCanceled):
            raise
        reason = f"{error.diag.message_primary} ({error.sqlstate})"
        raise Refused(f"migration {file.version} does not apply to this project: {reason}") from error
    session.execute(SQL.as_login)
    session.execute(SQL.record, {"version": file.version, "checksum": file.checksum})
    return True


def _ledger(admin: Session) -> list[AppliedUpgrade]:
    try:
        return [AppliedUpgrade(*row) for row in admin.execute(SQL.ledger).fetchall()]
    except psycopg.errors.UndefinedTable as error:
        raise Refused("the project's database has no ledger of migrations; restore it from a backup") from error
