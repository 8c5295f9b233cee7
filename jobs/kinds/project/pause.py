"""project.pause: nobody reaches a project any more; all that it is and holds stays for a resume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import project_states as states
from jobs.engine.commands import JobConflict
from jobs.engine.kind import AtomicStep, Step, kind
from jobs.projects.conditions import only_if, status
from jobs.projects.steps import (
    add_to_pooler,
    allow_logins,
    close_auth,
    close_data_api,
    close_storage,
    mark_paused,
    open_auth,
    open_data_api,
    open_storage,
    refuse_logins,
    remove_from_pooler,
)

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.engine.run import Run


def is_active(run: Run[PauseProject]) -> bool:
    """Return whether the project served when it was to be paused, rather than slept."""
    return status(run) in states.ACTIVE


def stays(run: Run[PauseProject]) -> bool:
    """Return whether the project is not about to be deleted.

    A deletion supersedes a pause, and would find open again what it is there to close; or nothing at all.
    """
    with run.infra.database.autocommit() as tx:
        return states.may_move(tx, run.args.project_id, "paused", by="project.pause")


def on_retry(args: PauseProject, tx: Transaction) -> None:
    """Allow the pause to go on. Raises JobConflict when the project is in another state by now."""
    if not states.may_move(tx, args.project_id, "paused", by="project.pause"):
        raise JobConflict("the project is in another state by now")


@kind(
    "project.pause",
    steps=(
        Step(close_auth, undo=only_if(is_active, open_auth), title="Close Auth"),
        Step(close_storage, undo=only_if(is_active, open_storage), title="Close Storage"),
        Step(close_data_api, undo=only_if(is_active, open_data_api), title="Close the data API"),
        Step(remove_from_pooler, undo=only_if(stays, add_to_pooler), title="Remove from PgBouncer"),
        Step(refuse_logins, undo=only_if(stays, allow_logins)),
        AtomicStep(mark_paused),
    ),
    on_failure="undo",
    coalesces=True,
    retried=on_retry,
)
@dataclass(frozen=True)
class PauseProject:
    """Closes a project, which keeps its data."""

    project_id: str
