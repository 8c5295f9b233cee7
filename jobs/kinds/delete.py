"""project.delete: nothing of a project is left but its history. Twice is harmless; half is finished by a retry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import names, secrets
from infra.sql import statements
from jobs.commands import JobConflict
from jobs.kind import Step, kind

if TYPE_CHECKING:
    from infra.database import Transaction
    from jobs.run import Run

SQL = statements(__file__)


def data_api_is_closed(run: Run[DeleteProject]) -> None:
    """Let the data API forget the project first, so that its sessions do not come back while the database goes."""
    instance = names.instance(run.args.project_id)
    run.ledger.releasing("instance", instance)
    run.check()
    run.infra.instances.remove(instance)
    run.ledger.gone("instance", instance)


def database_is_gone(run: Run[DeleteProject]) -> None:
    """Let the database be gone, with the sessions that are left."""
    database = names.database(run.args.project_id)
    run.ledger.releasing("database", database)
    run.check()
    run.infra.databases.drop_database(database, names.roles(run.args.project_id), run.session)
    run.ledger.gone("database", database)


def roles_are_gone(run: Run[DeleteProject]) -> None:
    """Let the roles be gone; only now, since a role that owns something cannot be dropped."""
    roles = names.roles(run.args.project_id)
    run.ledger.releasing("role", *roles.all)
    run.check()
    run.infra.databases.drop_roles(roles, run.session)
    run.ledger.gone("role", *roles.all)


def project_is_forgotten(run: Run[DeleteProject], tx: Transaction) -> None:
    """Forget secrets and settings; say in the catalogue that the project is deleted."""
    project = {"project": run.args.project_id}
    secrets.delete_all(tx, run.args.project_id)
    tx.execute(SQL.forget_settings, project)
    tx.execute(SQL.mark_deleted, project)
    tx.execute(SQL.forget_ledger, project)
    run.result["projectId"] = run.args.project_id


def say_unfinished(args: DeleteProject, tx: Transaction, reason: str) -> None:
    """Let no project rest in a moving state: it says that its deletion did not finish, or serves on."""
    tx.execute(SQL.mark_unfinished, {"project": args.project_id, "reason": f"the deletion did not finish: {reason}"})


def begin_again(args: DeleteProject, tx: Transaction) -> None:
    """Let the deletion go on. Raises JobConflict when the project is deleted already."""
    if tx.execute(SQL.mark_deleting, {"project": args.project_id}) != 1:
        raise JobConflict("the project is deleted already")


@kind(
    "project.delete",
    steps=(
        Step(data_api_is_closed, no_return=True, title="Close the data API"),
        Step(database_is_gone, title="Drop the database"),
        Step(roles_are_gone, title="Drop the roles"),
        Step(project_is_forgotten, atomic=True, title="Forget secrets and settings"),
    ),
    attempts=10,
    supersedes=True,
    preempts=True,
    priority=1,
    failed=say_unfinished,
    retried=begin_again,
)
@dataclass(frozen=True)
class DeleteProject:
    """Removes everything of a project from this installation."""

    project_id: str
