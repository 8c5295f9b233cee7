"""project.sleep: a project that nobody asks gives its memory back; its next request wakes it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalog import names, settings
from catalog import project_states as states
from infra.instances.activity import idle_seconds
from infra.postgres.sql import statements
from jobs.engine.commands import JobConflict
from jobs.engine.kind import AtomicStep, Step, kind
from jobs.projects.conditions import only_if, status
from jobs.projects.steps import close_auth, close_data_api, close_storage, open_auth, open_data_api, open_storage

if TYPE_CHECKING:
    from config.settings import Settings
    from infra.composition import Infra
    from infra.postgres.database import Transaction
    from jobs.engine.run import AtomicRun, Run

SQL = statements(__file__)


def has_been_idle(infra: Infra, project_id: str, row: dict[str, Any]) -> bool:
    """Return whether a project has not been asked for as long as its settings allow. row: as for `is_idle`."""
    # What was changed lately needs no look at its file.
    return is_idle(infra.settings, row, math.inf) and is_idle(
        infra.settings, row, idle_seconds(infra.settings, names.instance(project_id))
    )


def is_idle(installation: Settings, row: dict[str, Any], idle: float | None) -> bool:
    """Return whether nothing was asked of a project, nor done to it, for as long as its settings allow.

    row   its settings, and for how many seconds nothing was done to it (quiet)
    idle  for how many seconds nobody has asked for it; None when nobody knows: that is not idle
    """
    allowed = 60 * settings.effective(row["settings"], installation).idle_minutes
    return bool(allowed) and row["quiet"] >= allowed and idle is not None and idle >= allowed


def seconds_idle(run: Run[SleepProject]) -> float | None:
    """Return for how long nobody has asked for the project; None when nobody knows."""
    return idle_seconds(run.infra.settings, names.instance(run.args.project_id))


def mark_sleeping(run: AtomicRun[SleepProject], tx: Transaction, idle: float | None) -> None:
    """Move the project into the state sleeping, if it is still active and idle; otherwise nothing is to be done."""
    project = run.args.project_id
    row = tx.row(SQL.quiet, {"project": project})
    due = row is not None and is_idle(run.settings, row, idle)
    run.result.update(projectId=project, asleep=due and states.move(tx, project, "sleeping", by="project.sleep"))


def wake_up(run: Run[SleepProject]) -> None:
    """Record that it is active, where Auth or the data API could not be closed; unless it is about to be deleted."""
    with run.infra.database.autocommit() as tx:
        if not states.may_move(tx, run.args.project_id, "sleeping", by="project.sleep"):
            return
    open_data_api(run)
    open_auth(run)
    open_storage(run)
    with run.transaction() as tx:
        states.move(tx, run.args.project_id, "active", by="project.sleep undone")


def is_asleep(run: Run[SleepProject]) -> bool:
    """Return whether the project was put to sleep: what asks from now on wakes it, after this."""
    return status(run) == "sleeping"


def on_retry(args: SleepProject, tx: Transaction) -> None:
    """Allow it to go on. Raises JobConflict when the project is in another state by now."""
    if not states.may_move(tx, args.project_id, "sleeping", by="project.sleep"):
        raise JobConflict("the project is in another state by now")


@kind(
    "project.sleep",
    steps=(
        AtomicStep(mark_sleeping, reads=seconds_idle, undo=wake_up, title="Mark sleeping, if idle"),
        Step(only_if(is_asleep, close_auth), title="Close Auth"),
        Step(only_if(is_asleep, close_storage), title="Close Storage"),
        Step(only_if(is_asleep, close_data_api), title="Close the data API"),
    ),
    on_failure="undo",
    coalesces=True,
    priority=-1,
    retried=on_retry,
)
@dataclass(frozen=True)
class SleepProject:
    """Puts a project to sleep that nobody has asked for as long as its settings say."""

    project_id: str
