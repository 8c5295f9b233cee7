"""project.delete: nothing of a project is left but its history. Twice is harmless; half is finished by a retry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import owner_migrations, secrets
from infra.sql import statements
from jobs.commands import JobConflict
from jobs.data_plane import close_data_api, drop_database, drop_roles
from jobs.kind import Step, kind

if TYPE_CHECKING:
    from infra.database import Transaction
    from jobs.run import Run

SQL = statements(__file__)


def project_is_forgotten(run: Run[DeleteProject], tx: Transaction) -> None:
    """Forget secrets and settings; say in the catalogue that the project is deleted."""
    project = {"project": run.args.project_id}
    secrets.delete_all(tx, run.args.project_id)
    tx.execute(SQL.forget_settings, project)
    owner_migrations.forget(tx, run.args.project_id)
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
        Step(close_data_api, no_return=True, title="Close the data API"),
        Step(drop_database, title="Drop the database"),
        Step(drop_roles, title="Drop the roles"),
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
