"""project.resume: a paused project is again what it was, with the same keys, passwords and data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import project_states as states
from jobs.engine.commands import JobConflict
from jobs.engine.kind import AtomicStep, Step, kind
from jobs.projects.steps import (
    add_to_pooler,
    allow_logins,
    check_round_trip,
    close_auth,
    close_data_api,
    close_storage,
    mark_active,
    open_auth,
    open_data_api,
    open_storage,
    refuse_logins,
    remove_from_pooler,
)

if TYPE_CHECKING:
    from infra.postgres.database import Transaction


def on_retry(args: ResumeProject, tx: Transaction) -> None:
    """Allow the resume to go on. Raises JobConflict when the project is in another state by now."""
    if not states.may_move(tx, args.project_id, "active", by="project.resume"):
        raise JobConflict("the project is in another state by now")


@kind(
    "project.resume",
    steps=(
        Step(allow_logins, lasting=True, undo=refuse_logins),
        Step(add_to_pooler, lasting=True, undo=remove_from_pooler, title="Add to PgBouncer"),
        Step(open_data_api, lasting=True, undo=close_data_api, title="Open the data API"),
        Step(open_auth, lasting=True, undo=close_auth, title="Open Auth"),
        Step(open_storage, lasting=True, undo=close_storage, title="Open Storage"),
        Step(check_round_trip, title="Check a round trip"),
        AtomicStep(mark_active),
    ),
    on_failure="undo",
    coalesces=True,
    retried=on_retry,
)
@dataclass(frozen=True)
class ResumeProject:
    """Opens a paused project again."""

    project_id: str
