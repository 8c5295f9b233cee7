"""fleet.verify: the newest backup of every project is proven by restoring it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import backups as catalogue
from catalog import project_states as states
from jobs.engine.kind import BULK, AtomicStep, Step, kind
from jobs.kinds.backup.verify_backup import VerifyBackup
from jobs.projects import fleet

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.engine.run import AtomicRun, Run


def enqueue_verifications(run: AtomicRun[VerifyFleet], tx: Transaction) -> None:
    """Enqueue the proof of each project's newest backup, unless it was proven already."""
    for row in catalogue.newest_of_each(tx, states.SETTLED):
        if row["verified_at"] is None:
            run.spawn(tx, VerifyBackup(row["scope"], row["id"]))


def wait_for_verifications(run: Run[VerifyFleet]) -> None:
    """Report what became of them. Raises GiveUp, naming them, when more failed than the budget allows."""
    fleet.conclude_fleet(run, "verified", states.SETTLED)


@kind(
    "fleet.verify",
    steps=(
        AtomicStep(enqueue_verifications),
        Step(wait_for_verifications, joins="verification"),
    ),
    queue=BULK,
    lane=None,
    max_children=1,
    coalesces=True,
)
@dataclass(frozen=True)
class VerifyFleet:
    """Proves the newest backup of every project. `budget`: how many may fail without the whole counting as failed."""

    budget: int = 0
