"""fleet.vacuum: every active project is vacuumed, two at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import project_states as states
from jobs.engine.kind import BULK, AtomicStep, Step, kind
from jobs.kinds.project.vacuum import VacuumProject
from jobs.projects import fleet

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.engine.run import AtomicRun, Run

AT_A_TIME = 2


def enqueue_vacuums(run: AtomicRun[VacuumFleet], tx: Transaction) -> None:
    """Enqueue a vacuum of each active project."""
    for project in fleet.projects(tx, states.ACTIVE):
        run.spawn(tx, VacuumProject(project))


def wait_for_vacuums(run: Run[VacuumFleet]) -> None:
    """Report what became of them. Raises GiveUp, naming them, when more failed than the budget allows."""
    fleet.conclude_fleet(run, "vacuumed", states.ACTIVE)


@kind(
    "fleet.vacuum",
    steps=(
        AtomicStep(enqueue_vacuums),
        Step(wait_for_vacuums, joins="vacuum"),
    ),
    queue=BULK,
    lane=None,
    max_children=AT_A_TIME,
    coalesces=True,
)
@dataclass(frozen=True)
class VacuumFleet:
    """Vacuums all active projects. `budget`: how many may fail without the whole counting as failed."""

    budget: int = 0
