"""project.update_keys: which keys of a project are good now is known to all who check them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.engine.kind import AtomicStep, Step, kind
from jobs.projects.steps import update_auth, update_data_api

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.engine.run import AtomicRun


def report_keys(run: AtomicRun[UpdateKeys], _tx: Transaction) -> None:
    """Report whose keys they are."""
    run.result.update(projectId=run.args.project_id)


@kind(
    "project.update_keys",
    steps=(
        Step(update_data_api, lasting=True, title="Update the data API"),
        Step(update_auth, lasting=True, title="Update Auth"),
        AtomicStep(report_keys),
    ),
    # Who revokes a key waits for nothing that can wait: not for what rests, nor for a worker slot.
    preempts=True,
    priority=1,
    coalesces=True,
)
@dataclass(frozen=True)
class UpdateKeys:
    """Tells a project's services which keys were made or revoked."""

    project_id: str
