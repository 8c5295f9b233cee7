"""project.sleep: a project that nobody asks gives its memory back; its next request wakes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalog import names, settings
from catalog import project_states as states
from infra.instances.activity import idle_seconds
from infra.postgres.sql import statements
from jobs.engine.commands import JobConflict
from jobs.engine.kind import Step, kind
from jobs.projects import data_plane

if TYPE_CHECKING:
    from infra.composition import Infra
    from infra.postgres.database import Transaction
    from jobs.engine.run import Run

SQL = statements(__file__)


def is_idle(infra: Infra, tx: Transaction, project_id: str) -> bool:
    """Return whether an active project has not been asked for as long as its settings allow. Unknown is not idle."""
    row = tx.row(SQL.quiet, {"project": project_id})
    return row is not None and has_been_idle(infra, project_id, row)


def has_been_idle(infra: Infra, project_id: str, row: dict[str, Any]) -> bool:
    """Return the same of a row with the project's settings, and for how many seconds nothing was done to it (quiet)."""
    minutes = settings.effective(row["settings"], infra.settings).idle_minutes
    if not minutes or row["quiet"] < minutes * 60:
        return False
    asked = idle_seconds(infra.settings, names.instance(project_id))
    return asked is not None and asked >= minutes * 60


def mark_sleeping(run: Run[SleepProject], tx: Transaction) -> None:
    """Mark the project asleep, if it is still active and idle; otherwise nothing is to be done."""
    project = run.args.project_id
    asleep = is_idle(run.infra, tx, project) and states.move(tx, project, "sleeping", by="project.sleep")
    run.result.update(projectId=project, asleep=asleep)


def wake_again(run: Run[SleepProject]) -> None:
    """Record that it is active, where the data API could not be closed; unless it is about to be deleted."""
    with run.infra.database.autocommit() as tx:
        if not states.may_move(tx, run.args.project_id, "sleeping", by="project.sleep"):
            return
    data_plane.open_data_api(run)
    with run.transaction() as tx:
        states.move(tx, run.args.project_id, "active", by="project.sleep undone")


def close_data_api(run: Run[SleepProject]) -> None:
    """Remove the data API, with the memory that it holds. What asks from now on wakes the project, after this."""
    with run.infra.database.autocommit() as tx:
        asleep = states.state_of(tx, run.args.project_id) == "sleeping"
    if asleep:
        data_plane.close_data_api(run)


def on_retry(args: SleepProject, tx: Transaction) -> None:
    """Allow it to go on. Raises JobConflict when the project is in another state by now."""
    if not states.may_move(tx, args.project_id, "sleeping", by="project.sleep"):
        raise JobConflict("the project is in another state by now")


@kind(
    "project.sleep",
    steps=(
        Step(mark_sleeping, atomic=True, undo=wake_again, title="Mark sleeping, if still idle"),
        Step(close_data_api, title="Close the data API"),
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
