"""project.configure: what was set of a project in the catalogue is in force outside, without a restart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import settings
from catalog.settings_model import OUTSIDE
from infra.sql import statements
from jobs.kind import Step, kind
from jobs.kinds.reconcile import data_api_is_right, database_is_right, pooler_is_right, round_trip_is_proven

if TYPE_CHECKING:
    from infra.database import Transaction
    from jobs.run import Run

SQL = statements(__file__)


def version_is_noted(run: Run[ConfigureProject], tx: Transaction) -> None:
    """Note which version of the settings there is; the steps after this one bring it, or a newer one."""
    settings.begin_applying(tx, run.args.project_id)


def settings_are_in_force(run: Run[ConfigureProject], tx: Transaction) -> None:
    """Report what the project was given; a later change has a job of its own."""
    project = run.args.project_id
    chosen = settings.effective(settings.read(tx, project).settings, run.infra.settings)
    run.result.update(
        projectId=project,
        poolSize=tx.value(SQL.pool_size, {"project": project}),
        settingsVersion=settings.applied(tx, project),
        settings=settings.shown(chosen, only=OUTSIDE),
    )


@kind(
    "project.configure",
    steps=(
        Step(version_is_noted, atomic=True, title="Read the settings"),
        Step(database_is_right, lasting=True, title="Set the limits"),
        Step(pooler_is_right, lasting=True, title="Set the pool"),
        Step(data_api_is_right, lasting=True, title="Set the data API"),
        Step(round_trip_is_proven, title="Prove a round trip"),
        Step(settings_are_in_force, atomic=True, title="Report"),
    ),
    coalesces=True,
)
@dataclass(frozen=True)
class ConfigureProject:
    """Lets a project's pool size, limits and data API settings take effect."""

    project_id: str
