"""project.undo_restore: what a project's database was before a restore is its database again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import backups as catalogue
from catalog import names
from catalog import project_states as states
from infra.postgres.project_staging import ProjectStaging
from jobs.engine.errors import GiveUp
from jobs.engine.kind import Step, kind
from jobs.projects import data_plane, pooling

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.engine.run import Run


def swap_database_back(run: Run[UndoRestore]) -> None:
    """Let the database of before the restore be the live one; what was restored is gone."""
    project = run.args.project_id
    live, kept = names.database(project), names.staging(project, "before")
    staging = ProjectStaging(run.infra.databases, names.roles(project), run.session)
    with run.infra.database.autocommit() as tx:
        row = catalogue.kept_database(tx, project)
    if row is None:
        raise GiveUp("nothing is kept from before a restore")
    run.check()
    with pooling.let_go(run):
        staging.swap_back(live, kept, names.staging(project, "restored"))
    run.ledger.gone("database", kept)


def allow_logins(run: Run[UndoRestore]) -> None:
    """Let the project's logins in, with its limits; those of a paused one stay out."""
    with run.infra.database.autocommit() as tx:
        status = states.of(tx, run.args.project_id)
    (data_plane.refuse_logins if status == "paused" else data_plane.allow_logins)(run)
    pooling.go_on(run)


def mark_undone(run: Run[UndoRestore], tx: Transaction) -> None:
    """Say so."""
    catalogue.forget_database(tx, run.args.project_id)
    states.touch(tx, run.args.project_id)
    run.result["projectId"] = run.args.project_id


@kind(
    "project.undo_restore",
    steps=(
        Step(swap_database_back, no_return=True, title="Swap the database back"),
        Step(allow_logins, lasting=True),
        Step(mark_undone, atomic=True, title="Mark the restore undone"),
    ),
    coalesces=True,
    conflicts=("project.backup", "project.verify_backup", "project.vacuum"),
)
@dataclass(frozen=True)
class UndoRestore:
    """Takes a project back to what it was before its last restore."""

    project_id: str
