"""project.restart: data API and Auth let go of the project, its clients are put out, and it is opened anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import project_states as states
from jobs.engine.commands import JobConflict
from jobs.engine.errors import GiveUp
from jobs.engine.kind import AtomicStep, Step, kind
from jobs.projects.steps import (
    check_round_trip,
    close_auth,
    close_data_api,
    close_storage,
    end_sessions,
    open_auth,
    open_data_api,
    open_storage,
)

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.engine.run import AtomicRun


def check_active(run: AtomicRun[RestartProject], tx: Transaction) -> None:
    """Raise GiveUp unless the project is active: what is paused is not opened by the way."""
    if not states.is_in(tx, run.args.project_id, states.ACTIVE, lock=True):
        raise GiveUp("the project is not active")
    run.result["projectId"] = run.args.project_id


def on_retry(args: RestartProject, tx: Transaction) -> None:
    """Allow the restart to go on. Raises JobConflict when the project is in another state by now."""
    if not states.is_in(tx, args.project_id, states.ACTIVE, lock=True):
        raise JobConflict("the project is not active")


@kind(
    "project.restart",
    steps=(
        AtomicStep(check_active, title="Check that the project is active"),
        Step(close_auth, undo=open_auth, title="Close Auth"),
        Step(close_storage, undo=open_storage, title="Close Storage"),
        Step(close_data_api, undo=open_data_api, title="Close the data API"),
        Step(end_sessions),
        Step(open_data_api, lasting=True, title="Open the data API"),
        Step(open_auth, lasting=True, title="Open Auth"),
        Step(open_storage, lasting=True, title="Open Storage"),
        Step(check_round_trip, title="Check a round trip"),
    ),
    on_failure="undo",
    coalesces=True,
    retried=on_retry,
)
@dataclass(frozen=True)
class RestartProject:
    """Ends every session of a project and opens it anew."""

    project_id: str
