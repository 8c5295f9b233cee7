"""project.wake: a sleeping project serves again, before the request that woke it gives up waiting."""

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
    mark_active,
    open_auth,
    open_data_api,
    open_storage,
)

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.engine.run import AtomicRun


def check_sleeping(run: AtomicRun[WakeProject], tx: Transaction) -> None:
    """Raise GiveUp unless the project sleeps, or serves already: what is paused is not opened by the way."""
    if not states.may_move(tx, run.args.project_id, "active", by="project.wake"):
        raise GiveUp("the project does not sleep any more")


def on_retry(args: WakeProject, tx: Transaction) -> None:
    """Allow it to go on. Raises JobConflict when the project is in another state by now."""
    if not states.may_move(tx, args.project_id, "active", by="project.wake"):
        raise JobConflict("the project is in another state by now")


@kind(
    "project.wake",
    steps=(
        AtomicStep(check_sleeping, title="Check that the project sleeps"),
        # First: whoever holds a request until the data API answers finds Auth there as well.
        Step(open_auth, lasting=True, undo=close_auth, title="Open Auth"),
        Step(open_storage, lasting=True, undo=close_storage, title="Open Storage"),
        Step(open_data_api, lasting=True, undo=close_data_api, title="Open the data API"),
        Step(check_round_trip, title="Check a round trip"),
        AtomicStep(mark_active),
    ),
    attempts=3,
    on_failure="undo",
    preempts=True,
    coalesces=True,
    priority=2,
    retried=on_retry,
)
@dataclass(frozen=True)
class WakeProject:
    """Wakes a sleeping project."""

    project_id: str
