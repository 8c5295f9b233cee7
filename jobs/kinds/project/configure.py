"""project.configure: what was set of a project in the catalogue is in force outside, without a restart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import settings
from catalog.settings_model import OUTSIDE
from infra.postgres.sql import statements
from jobs.engine.kind import AtomicStep, Step, kind
from jobs.projects.conditions import is_sound, only_if
from jobs.projects.steps import (
    check_round_trip,
    update_auth,
    update_data_api,
    update_database,
    update_pooler,
    update_storage,
)

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.engine.run import AtomicRun

SQL = statements(__file__)


def read_settings(run: AtomicRun[ConfigureProject], tx: Transaction) -> None:
    """Note which version of the settings there is; the steps after this one bring it, or a newer one."""
    settings.mark_applying(tx, run.args.project_id)


def report_settings(run: AtomicRun[ConfigureProject], tx: Transaction) -> None:
    """Report what the project was given; a later change has a job of its own."""
    project = run.args.project_id
    chosen = settings.effective(settings.read(tx, project).settings, run.settings)
    run.result.update(
        projectId=project,
        poolSize=tx.value(SQL.pool_size, {"project": project}),
        settingsVersion=settings.mark_applied(tx, project),
        settings=settings.as_json(chosen, only=OUTSIDE),
    )


@kind(
    "project.configure",
    steps=(
        AtomicStep(read_settings, title="Read the settings"),
        Step(update_database, lasting=True, title="Update the database's rights and limits"),
        Step(update_pooler, lasting=True, title="Update PgBouncer"),
        Step(update_data_api, lasting=True, title="Update the data API"),
        Step(update_auth, lasting=True, title="Update Auth"),
        Step(update_storage, lasting=True, title="Update Storage"),
        Step(only_if(is_sound, check_round_trip), title="Check a round trip"),
        AtomicStep(report_settings),
    ),
    coalesces=True,
)
@dataclass(frozen=True)
class ConfigureProject:
    """Puts a project's pool size, limits and the settings of its services in force."""

    project_id: str
