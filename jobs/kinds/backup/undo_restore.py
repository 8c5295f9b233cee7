"""project.undo_restore: what a project's database was before a restore is its database again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import backups as catalogue
from catalog import names
from catalog import project_states as states
from infra.postgres.project_staging import ProjectStaging
from jobs.backup import stored_files
from jobs.engine.errors import GiveUp
from jobs.engine.kind import BY_SIZE_SECONDS, AtomicStep, Step, kind
from jobs.projects import pooling
from jobs.projects.steps import reconnect_pooler, settle_logins

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.engine.run import AtomicRun, Run


def swap_database_back(run: Run[UndoRestore]) -> None:
    """Ensure that the database of before the restore is the live one; what was restored is gone."""
    project = run.args.project_id
    live, kept = names.database(project), names.staging(project, "before")
    staging = ProjectStaging(run.infra.databases, names.roles(project), run.session)
    with run.infra.database.autocommit() as tx:
        row = catalogue.kept_database(tx, project)
    if row is None:
        raise GiveUp("nothing is kept from before a restore")
    run.check()
    with pooling.paused_database(run):
        staging.swap_back(live, kept, names.staging(project, "restored"))
    # What only the restored one named may go now.
    stored_files.restore_hold(run, live).release_all_restores()
    run.ledger.mark_gone("database", kept)


def mark_undone(run: AtomicRun[UndoRestore], tx: Transaction) -> None:
    """Mark the restore undone."""
    catalogue.forget_database(tx, run.args.project_id)
    states.touch(tx, run.args.project_id)
    run.result["projectId"] = run.args.project_id


@kind(
    "project.undo_restore",
    steps=(
        Step(swap_database_back, seconds=BY_SIZE_SECONDS, no_return=True, title="Swap the database back"),
        Step(settle_logins, lasting=True, title="Allow logins, unless paused"),
        Step(reconnect_pooler, lasting=True, title="Reconnect PgBouncer"),
        AtomicStep(mark_undone, title="Mark the restore undone"),
    ),
    coalesces=True,
    conflicts=("project.backup", "project.verify_backup", "project.vacuum"),
)
@dataclass(frozen=True)
class UndoRestore:
    """Takes a project back to what it was before its last restore."""

    project_id: str
