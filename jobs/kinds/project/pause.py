"""project.pause: nobody reaches a project any more; all that it is and holds stays for a resume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import project_states as states
from jobs.engine.commands import JobConflict
from jobs.engine.errors import GiveUp
from jobs.engine.kind import Step, kind
from jobs.projects.data_plane import allow_logins, close_data_api, open_data_api, refuse_logins
from jobs.projects.pooling import add_to_pooler, remove_from_pooler

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.engine.run import Run


def reopen_data_api(run: Run[PauseProject]) -> None:
    """Open the data API again, unless the project slept."""
    with run.infra.database.autocommit() as tx:
        active = states.is_in(tx, run.args.project_id, states.ACTIVE)
    if active:
        open_data_api(run)


def add_to_pooler_again(run: Run[PauseProject]) -> None:
    """Ensure that the pooler serves the project again, unless it is about to be deleted."""
    if _stays(run):
        add_to_pooler(run)


def allow_logins_again(run: Run[PauseProject]) -> None:
    """Admit the logins again, unless the project is about to be deleted."""
    if _stays(run):
        allow_logins(run)


def _stays(run: Run[PauseProject]) -> bool:
    """A deletion supersedes a pause, and would find open again what it is there to close; or nothing at all."""
    with run.infra.database.autocommit() as tx:
        return states.may_move(tx, run.args.project_id, "paused", by="project.pause")


def mark_paused(run: Run[PauseProject], tx: Transaction) -> None:
    """Record in the catalogue that the project is paused. Raises GiveUp when it is no longer there to be."""
    if not states.move(tx, run.args.project_id, "paused", by="project.pause"):
        raise GiveUp("the project is in another state by now")
    run.result["projectId"] = run.args.project_id


def on_retry(args: PauseProject, tx: Transaction) -> None:
    """Allow the pause to go on. Raises JobConflict when the project is in another state by now."""
    if not states.may_move(tx, args.project_id, "paused", by="project.pause"):
        raise JobConflict("the project is in another state by now")


@kind(
    "project.pause",
    steps=(
        Step(close_data_api, undo=reopen_data_api, title="Close the data API"),
        Step(remove_from_pooler, undo=add_to_pooler_again, title="Remove from PgBouncer"),
        Step(refuse_logins, undo=allow_logins_again),
        Step(mark_paused, atomic=True),
    ),
    on_failure="undo",
    coalesces=True,
    retried=on_retry,
)
@dataclass(frozen=True)
class PauseProject:
    """Closes a project, which keeps its data."""

    project_id: str
