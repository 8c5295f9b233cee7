"""project.configure: what was set of a project in the catalogue is in force outside, without a restart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.sql import statements
from jobs.kind import Step, kind
from jobs.kinds.reconcile import data_api_is_right, database_is_right, round_trip_is_proven

if TYPE_CHECKING:
    from infra.database import Transaction
    from jobs.run import Run

SQL = statements(__file__)


def settings_are_in_force(run: Run[ConfigureProject], tx: Transaction) -> None:
    """Report what the project was given; a later change has a job of its own."""
    run.result.update(projectId=run.args.project_id, poolSize=tx.value(SQL.pool_size, {"project": run.args.project_id}))


@kind(
    "project.configure",
    steps=(
        Step(database_is_right, title="Set the limits"),
        Step(data_api_is_right, title="Set the data API"),
        Step(round_trip_is_proven, title="Prove a round trip"),
        Step(settings_are_in_force, atomic=True, title="Report"),
    ),
    coalesces=True,
)
@dataclass(frozen=True)
class ConfigureProject:
    """Lets a project's pool size and limits take effect."""

    project_id: str
