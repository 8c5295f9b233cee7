"""fleet.backup: the platform and every project that is there are backed up, two at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import project_states as states
from jobs.engine.kind import BULK, AtomicStep, Step, kind
from jobs.kinds.backup.backup import AT_A_TIME, BackupProject
from jobs.kinds.backup.backup_platform import BackupPlatform
from jobs.projects import fleet

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.engine.run import AtomicRun, Run


def enqueue_backups(run: AtomicRun[BackupFleet], tx: Transaction) -> None:
    """Enqueue a backup of each project, and first of the platform, without which their secrets are lost."""
    run.spawn(tx, BackupPlatform())
    for project in fleet.projects(tx, states.SETTLED):
        run.spawn(tx, BackupProject(project))


def wait_for_backups(run: Run[BackupFleet]) -> None:
    """Report what became of them. Raises GiveUp, naming them, when more failed than the budget allows."""
    fleet.conclude_fleet(run, "backedUp", states.SETTLED)


@kind(
    "fleet.backup",
    steps=(
        AtomicStep(enqueue_backups),
        Step(wait_for_backups, joins="backup"),
    ),
    queue=BULK,
    lane=None,
    max_children=AT_A_TIME,
    coalesces=True,
)
@dataclass(frozen=True)
class BackupFleet:
    """Backs up everything. `budget`: how many may fail without the whole counting as failed."""

    budget: int = 0
