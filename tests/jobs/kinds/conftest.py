"""Projects carried through their jobs by an engine in the test's own process."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from catalog import inventory
from catalog import secrets as kept
from jobs.kinds import DeleteProject, ProvisionProject
from tests.fixtures.beats import beating
from tests.fixtures.projects import mark_for_deletion, stored_tenant


@dataclass
class Life:
    """What a test does to one project, and what it sees of it."""

    engine: object
    infra: object
    id: str

    def provision(self):
        job = self.engine.enqueue(ProvisionProject(self.id))
        self.engine.runner.drain()
        return self.engine.job(job.id)

    def delete(self):
        with self.infra.database.autocommit() as tx:
            if self.row()["status"] != "deleted":
                mark_for_deletion(tx, self.id)
        job = self.engine.enqueue(DeleteProject(self.id))
        self.engine.runner.drain()
        return self.engine.job(job.id)

    def ask(self, what):
        """Ask for it as the API does, and let it be carried out."""
        with self.infra.database.transaction() as tx:
            job = what(tx, self.id)
        self.engine.runner.drain()
        return self.engine.job(job.id)

    def folder(self):
        return self.infra.settings.instances_folder / self.id

    def rights(self):
        """Who may do what with the database."""
        with self.infra.database.autocommit() as tx:
            return tx.value("SELECT datacl::text FROM pg_database WHERE datname = %s", (self.id,))

    def row(self):
        with self.infra.database.autocommit() as tx:
            return tx.row("SELECT * FROM projects WHERE id = %s", (self.id,))

    def ledger(self):
        with self.infra.database.autocommit() as tx:
            rows = tx.rows("SELECT kind, state FROM resources WHERE project_id = %s", (self.id,))
            return {(row["kind"], row["state"]) for row in rows}

    def things(self):
        with self.infra.database.autocommit() as tx:
            return inventory.of_project(inventory.take_inventory(tx, self.infra), self.id)

    def secrets(self):
        with self.infra.database.autocommit() as tx:
            return kept.read_all(tx, self.infra.vault, self.id)

    def tenant(self):
        return stored_tenant(self.infra, self.id)


@pytest.fixture
def life(engine, infra, project):
    """One project's life."""
    return Life(engine, infra, project)


@pytest.fixture(autouse=True)
def beats(engine):
    """Steps that drive real programs take their time."""
    with beating(engine.leases):
        yield
