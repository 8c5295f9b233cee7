"""A project's state: the states, the sets of them that count, and the table of the only ways from one to another.

Nobody else writes a project's status, nor what changes with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, cast, get_args

from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.postgres.database import Transaction

SQL = statements(__file__)

State = Literal["provisioning", "active", "paused", "sleeping", "restoring", "failed", "deleting", "deleted"]
# What an owner is shown: a deleted project is not there.
Shown = Literal["provisioning", "active", "paused", "sleeping", "restoring", "failed", "deleting"]
STATES: Final[tuple[State, ...]] = get_args(State)

ACTIVE: Final = ("active",)
PAUSED: Final = ("paused",)
RESTORING: Final = ("restoring",)
# No job is needed to make of it what it is: others may look at it, mend it, back it up.
SETTLED: Final = ("active", "paused", "sleeping")
# Logins are let in, and requests are answered: by one that sleeps once it is awake.
REACHABLE: Final = ("active", "sleeping")
# What a request is told is away for now, rather than not there.
AWAY: Final = ("paused", "provisioning", "sleeping")
# What clients of a project are told: one that failed or goes is to them one that is not there yet, or gone.
SEEN_BY_CLIENTS: Final[dict[str, State]] = {
    "active": "active",
    "paused": "paused",
    "sleeping": "sleeping",
    "restoring": "paused",
    "provisioning": "provisioning",
    "failed": "provisioning",
}
# A job is about to make of it what it is to be; without one it stays so for ever.
MOVING: Final = ("provisioning", "restoring", "deleting")
# The owner has given it up: its name is free, and it counts no more. An index says so, too.
LEAVING: Final = ("deleting", "deleted")
# A backup may be restored into it, by a job that runs, or by one that is asked for.
RESTORED: Final = (*SETTLED, "restoring")
RESTORABLE: Final = (*RESTORED, "failed")
# There are, or were just now, data in it that backups have to hold.
WITH_DATA: Final = (*SETTLED, "restoring", "deleting")

# The sets as parameters of statements: `status = ANY (%(settled)s)`.
SETS: Final = {
    "settled": list(SETTLED),
    "moving": list(MOVING),
    "leaving": list(LEAVING),
    "with_data": list(WITH_DATA),
}


@dataclass(frozen=True)
class Transition:
    """A way from some states to another.

    by            what goes it: a kind whose work is done, or with a word what else becomes of its job
    again         whether the project may be there already, as where a step runs twice
    keeps_reason  whether the status keeps its reason; it gets a new one, or none, otherwise
    """

    by: str
    sources: tuple[State, ...]
    to: State
    again: bool = False
    keeps_reason: bool = False

    @property
    def admits(self) -> tuple[State, ...]:
        """The states in which it may find the project."""
        return (*self.sources, self.to) if self.again else self.sources


TABLE: Final = (
    Transition("project.provision", ("provisioning",), "active", again=True),
    Transition("project.provision failed", ("provisioning",), "failed"),
    Transition("project.provision retried", ("failed",), "provisioning", again=True),
    Transition("project.pause", ("active", "sleeping"), "paused", again=True),
    Transition("project.resume", ("paused",), "active", again=True),
    Transition("project.sleep", ("active",), "sleeping", again=True, keeps_reason=True),
    Transition("project.sleep undone", ("sleeping",), "active", keeps_reason=True),
    Transition("project.wake", ("sleeping",), "active", again=True),
    Transition("project.restore as new", ("provisioning",), "restoring"),
    Transition("project.restore undeletes", ("deleted",), "restoring"),
    Transition("project.restore asked", ("failed",), "restoring"),
    Transition("project.restore", ("restoring",), "active"),
    Transition("project.restore failed", ("restoring",), "failed"),
    Transition("project.restore retried", ("failed",), "restoring"),
    Transition("project.import failed", ("restoring",), "failed"),
    Transition("project.delete asked", (*SETTLED, "provisioning", "restoring", "failed"), "deleting", again=True),
    # Whatever it is called by then: nothing of it is left.
    Transition("project.delete", tuple(state for state in STATES if state != "deleted"), "deleted"),
    *(Transition("project.delete undone", ("deleting",), state) for state in SETTLED),
    *(Transition("project.delete failed", ("deleting",), state) for state in (*SETTLED, "failed")),
    # What was under way when the platform's backup was made is not gone on with.
    Transition("restore-platform", MOVING, "failed"),
    # A database that is gone is restored from a backup, where there is one.
    Transition("adopt", SETTLED, "restoring"),
    Transition("adopt", SETTLED, "failed"),
)
_BY: Final = {(way.by, way.to): way for way in TABLE}


def move(
    tx: Transaction,
    project_id: str,
    to: State,
    *,
    by: str,
    reason: str | None = None,
    template: str | None = None,
) -> bool:
    """Change a project's state along a way of the table; return whether it is there now.

    One statement that finds the state and changes it: whoever was first has won, and the other changes nothing. With
    the status change why it is so, what it was before a deletion, when it was deleted, and a name that somebody took
    while the project was on its way out.

    by        which way of the table
    reason    what the status says of itself
    template  which template the project's database is equal to; None: as before

    Raises LookupError for a way that is not in the table.
    """
    way = _way(by, to)
    values = {
        "project": project_id,
        "to": to,
        "sources": list(way.admits),
        "keeps_reason": way.keeps_reason,
        "reason": reason,
        "template": template,
    }
    return tx.execute(SQL.move, {**values, **SETS}) == 1


def may_move(tx: Transaction, project_id: str, to: State, *, by: str) -> bool:
    """Return whether `move` would be possible now, and hold the project in its state until the transaction ends.

    Raises LookupError for a way that is not in the table.
    """
    return is_in(tx, project_id, _way(by, to).admits, lock=True)


def is_in(tx: Transaction, project_id: str, states: Sequence[str], *, lock: bool = False) -> bool:
    """Return whether a project is in one of these states. lock: it stays there until the transaction ends."""
    return state_of(tx, project_id, lock=lock) in states


def state_of(tx: Transaction, project_id: str, *, lock: bool = False) -> State | None:
    """Return a project's state; None when there is no such row. lock: it stays there until the transaction ends."""
    return cast("State | None", tx.value(SQL.locked if lock else SQL.seen, {"project": project_id}))


def in_transition(tx: Transaction) -> list[tuple[str, State]]:
    """Return the projects that a job has to see to, with their states."""
    return [(row["id"], row["status"]) for row in tx.rows(SQL.moving, SETS)]


def before_deletion(tx: Transaction, project_id: str) -> State | None:
    """Return what a project was when its deletion was asked for; None unless it was settled."""
    return cast("State | None", tx.value(SQL.before_deletion, {"project": project_id}))


def forget_before_deletion(tx: Transaction, project_id: str) -> None:
    """Note that a project that is being deleted cannot be again what it was."""
    tx.execute(SQL.forget_before_deletion, {"project": project_id})


def set_complaint(tx: Transaction, project_id: str, reason: str) -> None:
    """Write down in what a settled project is not as it should be."""
    tx.execute(SQL.complain, {"project": project_id, "reason": reason, **SETS})


def clear_complaint(tx: Transaction, project_id: str) -> None:
    """Take back what a settled project was said to be, but for what was found of its schemas, which is said."""
    tx.execute(SQL.settle_complaint, {"project": project_id, **SETS})


def touch(tx: Transaction, project_id: str, *, template: str | None = None) -> None:
    """Note that a project has just been changed. template: the one that its database is equal to; None: as before."""
    tx.execute(SQL.touch, {"project": project_id, "template": template})


def set_template(tx: Transaction, project_id: str, template: str) -> None:
    """Write down which template a project's database is equal to; nothing where that is known."""
    tx.execute(SQL.set_template, {"project": project_id, "template": template})


def _way(by: str, to: State) -> Transition:
    try:
        return _BY[by, to]
    except KeyError:
        raise LookupError(f"{by} does not make a project {to}") from None
