"""What is looked at before a step acts: whether it is its turn, what the project has to be, what it has to know."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from catalog import project_states as states
from infra.postgres.sql import statements
from jobs.projects.drift import WantedProject

if TYPE_CHECKING:
    from collections.abc import Callable

    from catalog.project_states import State
    from infra.secrets.vault import Vault
    from jobs.engine.kind import Outside
    from jobs.engine.run import Run

SQL = statements(__file__)


def only_if(holds: Callable[[Run[Any]], bool], act: Outside) -> Outside:
    """Return the act under its own name, done only where a condition holds when its turn comes."""

    @wraps(act)
    def guarded(run: Run[Any]) -> None:
        if holds(run):
            act(run)

    return guarded


def status(run: Run[Any]) -> State | None:
    """Return the project's state."""
    with run.infra.database.autocommit() as tx:
        return states.state_of(tx, run.args.project_id)


def settled(run: Run[Any]) -> WantedProject | None:
    """Return what the project has to be; None when it is no longer one that others may mend."""
    with run.infra.database.autocommit() as tx:
        return tx.one(WantedProject, SQL.settled, {"project": run.args.project_id, **states.SETS})


def is_sound(run: Run[Any]) -> bool:
    """Return whether the project's logins are let in and nothing is named that would stand in a round trip's way."""
    project = settled(run)
    with run.infra.database.autocommit() as tx:
        named = tx.value(SQL.drift, {"project": run.args.project_id})
    return project is not None and not project.closed and not named


def vault(run: Run[Any]) -> Vault:
    """Return the vault with the master keys that are valid now."""
    return run.infra.vault.loaded()


def newest_template(run: Run[Any]) -> str:
    """Return the name of the template of this version."""
    return run.infra.databases.templates.name
