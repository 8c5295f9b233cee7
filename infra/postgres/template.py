"""The template database that every project is a copy of: built beside, switched in one step, never edited."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from psycopg import sql

from infra.postgres import migrations
from infra.postgres.admin.bounds import BEHIND_ANOTHER, WHOLE_DATABASE
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.postgres.cluster import Cluster, Session

SQL = statements(__file__)
FOLDER = "project"


class Templates:
    """Builds the template of this version's migrations, whose checksum it bears in its name."""

    def __init__(self, cluster: Cluster, folder: str = FOLDER) -> None:
        self._cluster = cluster
        self.folder = folder

    @cached_property
    def name(self) -> str:
        """Name of the template of this version."""
        return f"template_{migrations.checksum(self.folder)}"

    @cached_property
    def version(self) -> str:
        """The newest migration of this version."""
        return migrations.read_migrations(self.folder)[-1].version

    def ensure(self, session: str) -> str:
        """Ensure that the template exists, closed to everybody; return its name. Several starters may call at once.

        The shared roles must exist. Raises Unavailable.
        """
        with self.locked(session) as admin:
            if not self.exists(admin, self.name):
                self._build(admin, session)
        return self.name

    def exists(self, admin: Session, name: str) -> bool:
        """Return whether a finished template of that name is there."""
        seen = admin.execute(SQL.look, {"name": name}).fetchone()
        return bool(seen and seen[0])

    def prune(self, served: list[str], session: str) -> list[str]:
        """Drop the templates that no version in `served` uses; return their names. Copies do not need them."""
        with self.locked(session) as admin:
            names = [name for (name,) in admin.execute(SQL.others, {"served": [*served, self.name]}).fetchall()]
            for name in names:
                _drop(admin, name)
        return names

    def build_version(self, database: str, version: str, session: str) -> None:
        """Make a database as a project's was when `version` was the newest migration; nobody may connect yet."""
        with self._cluster.session(session, WHOLE_DATABASE) as admin:
            admin.execute(SQL.build.format(database=sql.Identifier(database)))
        with self._cluster.open_in_database(database, session) as inside:
            inside.execute(SQL.prepare.format(database=sql.Identifier(database)))
            inside.execute("SET search_path = launchdb")
            migrations.apply_migrations(inside, self.folder, upto=version)

    def _build(self, admin: Session, session: str) -> None:
        building = f"{self.name}_new"
        for leftover in (building, self.name):
            if admin.execute(SQL.exists, {"name": leftover}).fetchone() == (True,):
                _drop(admin, leftover)
        database = sql.Identifier(building)
        admin.execute(SQL.build.format(database=database))
        with self._cluster.open_in_database(building, session) as inside:
            inside.execute(SQL.prepare.format(database=database))
            inside.execute("SET search_path = launchdb")
            migrations.apply_migrations(inside, self.folder)
        admin.execute(SQL.label.format(database=database))
        admin.execute(SQL.seal.format(database=database))
        # The switch: until the name is right, nobody copies from it.
        admin.execute(SQL.publish.format(database=database, name=sql.Identifier(self.name)))

    @contextmanager
    def locked(self, session: str) -> Iterator[Session]:
        """Hold the lock under which templates are made, dropped and copied for a look."""
        with self._cluster.session(session, BEHIND_ANOTHER) as admin:
            admin.execute(SQL.lock)
            try:
                yield admin
            finally:
                if not (admin.closed or admin.broken):
                    admin.execute(SQL.unlock)


def _drop(admin: Session, name: str) -> None:
    database = sql.Identifier(name)
    if admin.execute(SQL.half_dropped, {"name": name}).fetchone() != (True,):
        admin.execute(SQL.unseal.format(database=database))
    admin.execute(SQL.drop.format(database=database))
