"""fleet.rotate: a secret of every project is rotated, a few projects at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import project_states as states
from jobs.engine.kind import AtomicStep, Step, kind
from jobs.kinds.project.rotate_secret import RotateSecret
from jobs.projects import fleet

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.engine.run import AtomicRun, Run

AT_A_TIME = 4


def enqueue_rotations(run: AtomicRun[RotateFleet], tx: Transaction) -> None:
    """Enqueue a rotation for each project that is active, paused or sleeping."""
    for project in fleet.projects(tx, states.SETTLED):
        run.spawn(tx, RotateSecret(project, run.args.secret, run.args.grace_seconds))


def wait_for_rotations(run: Run[RotateFleet]) -> None:
    """Report what became of them. Raises GiveUp, naming them, when more failed than the budget allows."""
    fleet.conclude_fleet(run, "rotated", states.SETTLED)


@kind(
    "fleet.rotate",
    steps=(
        AtomicStep(enqueue_rotations),
        Step(wait_for_rotations, joins="rotation"),
    ),
    lane=None,
    max_children=AT_A_TIME,
    coalesces=True,
)
@dataclass(frozen=True)
class RotateFleet:
    """Rotates a secret of all projects. `budget`: how many may fail without the whole counting as failed."""

    secret: str
    grace_seconds: int = 0
    budget: int = 0
