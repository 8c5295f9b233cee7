"""project.retire_secret: the grace time of a rotated secret is over, and nobody takes it any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import secrets
from jobs.errors import GiveUp
from jobs.kind import Step, kind
from jobs.kinds.configure import ConfigureProject

if TYPE_CHECKING:
    from infra.database import Transaction
    from jobs.run import Run


def old_secret_is_forgotten(run: Run[RetireSecret], tx: Transaction) -> None:
    """Forget what has expired, and let the data API be told in its turn among what else changes the project."""
    if secrets.forget_expired(tx, run.args.project_id):
        run.spawn(tx, ConfigureProject(run.args.project_id))


def data_api_has_forgotten_it(run: Run[RetireSecret]) -> None:
    """Report. Raises GiveUp when the data API could not be told."""
    if any(child["status"] != "succeeded" for child in run.children()):
        raise GiveUp("the data API could not be told; it refuses the old secret by its time all the same")
    run.result.update(projectId=run.args.project_id)


@kind(
    "project.retire_secret",
    steps=(
        Step(old_secret_is_forgotten, atomic=True, title="Forget the old secret"),
        Step(data_api_has_forgotten_it, joins=True, title="Wait for the data API"),
    ),
    # It is due in a day: in the lane of what changes the project everything else would wait behind it.
    lane=None,
)
@dataclass(frozen=True)
class RetireSecret:
    """Retires the secrets of a project whose grace time is over."""

    project_id: str
