"""What can be done to a project, and what a model says will come of it."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg

from catalog import names, projects, settings
from catalog.projects import ProjectBusy
from catalog.settings_model import SettingsChanges
from jobs.engine.enqueue import enqueue
from jobs.kinds.project.delete import DeleteProject
from jobs.kinds.project.migrate import MigrateProject
from jobs.kinds.project.reconcile import ReconcileProject
from jobs.requests import lifecycle
from tests.fixtures.projects import stored_tenant

if TYPE_CHECKING:
    from random import Random

BY = {"by": "the model"}


@dataclass
class Model:
    """A project as it has to be, by what was asked and granted."""

    status: str = "active"
    pool_size: int = 5
    statement_seconds: int | None = None
    rows: set[int] = field(default_factory=set)
    done: list[str] = field(default_factory=list)


class Operation:
    """One thing to ask for.

    needs  the states in which it is granted; in others it is refused and changes nothing
    """

    needs: tuple[str, ...] = ("active",)
    lasts = False  # whether it is said in the catalogue when asked, whatever becomes of the job

    def __init__(self, chance: Random) -> None:
        self.chance = chance

    def __str__(self) -> str:
        return type(self).__name__.lower()

    def ask(self, infra, tx, project: str):
        """Ask for it in a transaction; return the job."""
        raise NotImplementedError

    def foresee(self, model: Model) -> None:
        """What changes when the job succeeds."""


class Pause(Operation):
    needs = ("active", "sleeping")

    def ask(self, infra, tx, project):
        return lifecycle.pause(tx, project, **BY)

    def foresee(self, model):
        model.status = "paused"


class Resume(Operation):
    """A paused project is opened, a sleeping one woken."""

    needs = ("paused", "sleeping")

    def ask(self, infra, tx, project):
        return lifecycle.resume(tx, project, **BY)

    def foresee(self, model):
        model.status = "active"


class Sleep(Operation):
    """Nobody has asked the project for an hour."""

    def ask(self, infra, tx, project):
        with suppress(FileNotFoundError):
            os.utime(infra.settings.instances_folder / project / "last-request", (0, 0))
        tx.execute(
            """INSERT INTO project_settings AS known (project_id, settings) VALUES (%s, '{"idleMinutes": 1}')
               ON CONFLICT (project_id) DO UPDATE SET settings = known.settings || excluded.settings""",
            (project,),
        )
        tx.execute("UPDATE jobs SET finished_at = now() - interval '1 hour' WHERE project_id = %s", (project,))
        tx.execute(
            "UPDATE projects SET updated_at = now() - interval '1 hour' WHERE id = %s AND status = 'active'", (project,)
        )
        return lifecycle.sleep(tx, project, **BY)

    def foresee(self, model):
        model.status = "sleeping"


class Restart(Operation):
    def ask(self, infra, tx, project):
        return lifecycle.restart(tx, project, **BY)


class Vacuum(Operation):
    def ask(self, infra, tx, project):
        return lifecycle.vacuum(tx, project, **BY)


class Resize(Operation):
    """A change of the pool size: allowed in any state, in force by the state it finds."""

    needs = ("active", "paused", "sleeping")
    lasts = True

    def __init__(self, chance):
        super().__init__(chance)
        self.size = chance.randrange(1, 20)

    def ask(self, infra, tx, project):
        tx.execute("UPDATE projects SET pool_size = %s WHERE id = %s", (self.size, project))
        return lifecycle.configure(tx, project, **BY)

    def foresee(self, model):
        model.pool_size = self.size


class Settle(Operation):
    """A limit of the project's own: kept at once, in force by the state it finds."""

    needs = ("active", "paused", "sleeping")
    lasts = True

    def __init__(self, chance):
        super().__init__(chance)
        self.seconds = chance.randrange(5, 60)

    def ask(self, infra, tx, project):
        changes = SettingsChanges.model_validate({"statementSeconds": self.seconds})
        settings.change(tx, infra, settings.read(tx, project), changes, bounded=True, world=True)
        return lifecycle.configure(tx, project, **BY)

    def foresee(self, model):
        model.statement_seconds = self.seconds


class Rotate(Operation):
    """New passwords or a new JWT secret; what a tenant logs in with afterwards is what is shown."""

    needs = ("active", "paused", "sleeping")

    def ask(self, infra, tx, project):
        secret, grace = self.chance.choice([("databasePassword", 0), ("jwtSecret", 0), ("jwtSecret", 3600)])
        return lifecycle.rotate(tx, project, secret, grace, **BY)


class Migrate(Operation):
    """A project that is at the newest version already is told so."""

    needs = ("active", "paused", "sleeping")

    def ask(self, infra, tx, project):
        return enqueue(tx, MigrateProject(project))


class Tamper(Operation):
    """Somebody changes things by hand; a reconcile puts them right."""

    needs = ("active", "paused", "sleeping")

    def ask(self, infra, tx, project):
        owner = names.roles(project).owner
        with psycopg.connect(infra.database.conninfo, autocommit=True) as admin:
            admin.execute(
                self.chance.choice(
                    [
                        f'GRANT CONNECT ON DATABASE "{project}" TO PUBLIC',
                        f"ALTER ROLE \"{owner}\" PASSWORD 'changed by hand'",
                        f'ALTER ROLE "{owner}" CREATEDB',
                        f'ALTER DATABASE "{project}" CONNECTION LIMIT 3',
                    ]
                )
            )
        return enqueue(tx, ReconcileProject(project))


class Delete(Operation):
    needs = ("active", "paused", "sleeping")

    def ask(self, infra, tx, project):
        owner = tx.value("SELECT owner_id FROM projects WHERE id = %s", (project,))
        projects.mark_deleting(tx, projects.find_owned(tx, project, owner, lock=True))
        return enqueue(tx, DeleteProject(project))

    def foresee(self, model):
        model.status = "deleted"


OPERATIONS = (Pause, Resume, Resume, Sleep, Sleep, Restart, Vacuum, Resize, Settle, Rotate, Migrate, Tamper, Delete)


def write_a_row(infra, project: str, model: Model) -> None:
    """A tenant writes, whenever they can."""
    if model.status != "active":
        return
    number = len(model.rows)
    with stored_tenant(infra, project).connect(names.roles(project).owner) as owner:
        owner.execute("CREATE TABLE IF NOT EXISTS kept (id integer PRIMARY KEY)")
        owner.execute("INSERT INTO kept VALUES (%s)", (number,))
    model.rows.add(number)


def granted(operation: Operation, model: Model, infra, project: str):
    """Ask; return the job, or None when it was rightly refused."""
    try:
        with infra.database.transaction() as tx:
            job = operation.ask(infra, tx, project)
    except ProjectBusy:
        assert model.status not in operation.needs, f"{operation} was refused though the project is {model.status}"
        return None
    assert model.status in operation.needs, f"{operation} was granted though the project is {model.status}"
    return job
