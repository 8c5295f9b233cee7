"""project.forget_database: what a project's database was before a restore is dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import backups as catalogue
from catalog import names
from infra.postgres.project_staging import ProjectStaging
from jobs.backup import stored_files
from jobs.engine.kind import BY_SIZE_SECONDS, AtomicStep, Step, kind

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.engine.run import AtomicRun, Run


def drop_kept_database(run: Run[ForgetDatabase]) -> None:
    """Remove the database of before the restore, unless a later restore has put another one there."""
    project = run.args.project_id
    with run.infra.database.autocommit() as tx:
        kept = catalogue.kept_database(tx, project)
    if kept is None or kept["job_id"] != run.args.restore_job_id:
        return
    live, database = names.database(project), names.staging(project, "before")
    run.ledger.mark_releasing("database", database)
    run.check()
    staging = ProjectStaging(run.infra.databases, names.roles(project), run.session)
    staging.drop(database)
    if staging.exists(live):  # the bytes that only the one before named may go now
        stored_files.restore_hold(run, live, run.args.restore_job_id).release()
    run.ledger.mark_gone("database", database)


def forget_kept_database(run: AtomicRun[ForgetDatabase], tx: Transaction) -> None:
    """Record that there is no way back any more."""
    project = run.args.project_id
    kept = catalogue.kept_database(tx, project)
    if kept is not None and kept["job_id"] == run.args.restore_job_id:
        catalogue.forget_database(tx, project)
    run.result["projectId"] = project


@kind(
    "project.forget_database",
    steps=(
        Step(drop_kept_database, seconds=BY_SIZE_SECONDS, title="Drop the kept database"),
        AtomicStep(forget_kept_database, title="Forget the kept database"),
    ),
    coalesces=True,
)
@dataclass(frozen=True)
class ForgetDatabase:
    """Drops what a project's database was before one restore of it."""

    project_id: str
    restore_job_id: str
