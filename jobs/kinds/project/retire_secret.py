"""project.retire_secret: the grace time of a rotated secret is over, and nobody takes it any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import secrets
from jobs.engine.errors import GiveUp
from jobs.engine.kind import AtomicStep, Step, kind
from jobs.kinds.project.configure import ConfigureProject

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.engine.run import AtomicRun, Run


def forget_old_secret(run: AtomicRun[RetireSecret], tx: Transaction) -> None:
    """Forget what has expired, and let the data API be told in its turn among what else changes the project."""
    if secrets.delete_expired(tx, run.args.project_id):
        run.spawn(tx, ConfigureProject(run.args.project_id))


def wait_for_data_api(run: Run[RetireSecret]) -> None:
    """Report. Raises GiveUp when the data API could not be told."""
    if any(child["status"] != "succeeded" for child in run.children()):
        raise GiveUp("the data API could not be told; it refuses the old secret by its time all the same")
    run.result.update(projectId=run.args.project_id)


@kind(
    "project.retire_secret",
    steps=(
        AtomicStep(forget_old_secret, title="Forget the old secret"),
        Step(wait_for_data_api, joins="job", title="Wait for the data API"),
    ),
    # It is due in a day: in the lane of what changes the project everything else would wait behind it.
    lane=None,
)
@dataclass(frozen=True)
class RetireSecret:
    """Retires the secrets of a project whose grace time is over."""

    project_id: str
