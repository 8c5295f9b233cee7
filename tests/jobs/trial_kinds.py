"""Job kinds for the engine's own tests. Their outside world is a table that only they write, by a session of its own."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import psycopg

from jobs.engine.errors import GiveUp
from jobs.engine.kind import AtomicStep, Step, kind
from jobs.engine.run import AtomicRun, Run

WORLD = "CREATE TABLE IF NOT EXISTS world (thing text PRIMARY KEY, made integer NOT NULL DEFAULT 1)"

# What the next run of a step does, by the job's label: set by a test, seen by the runner's thread.
BEHAVIOUR: dict[str, object] = {}
ENTERED: dict[str, threading.Event] = {}
GATES: dict[str, threading.Event] = {}


def outside(run: Run) -> psycopg.Connection:
    """Open a session as a real step would: named for this attempt."""
    return psycopg.connect(run.infra.database.conninfo, application_name=run.session, autocommit=True)


def make(run: Run, thing: str) -> None:
    name = f"{run.args.label}/{thing}"
    run.check()
    run.ledger.mark_intended("thing", name)
    with outside(run) as session:
        session.execute("INSERT INTO world (thing) VALUES (%s) ON CONFLICT DO NOTHING", (name,))
    run.ledger.mark_present("thing", name)


def unmake(run: Run, thing: str) -> None:
    name = f"{run.args.label}/{thing}"
    with outside(run) as session:
        session.execute("DELETE FROM world WHERE thing = %s", (name,))
    run.ledger.mark_gone("thing", name)


def behave(run: Run, step: str) -> None:
    """Do what the test asked for: wait at a gate, or raise."""
    key = f"{run.args.label}/{step}"
    if key in ENTERED:
        ENTERED[key].set()
    if key in GATES:
        GATES[key].wait(20)
    asked = BEHAVIOUR.get(key)
    if isinstance(asked, list):
        asked = asked.pop(0) if asked else None
    if isinstance(asked, Exception):
        raise asked


def first_thing_is_there(run: Run) -> None:
    behave(run, "first")
    make(run, "first")


def remove_first(run: Run) -> None:
    behave(run, "undo-first")
    unmake(run, "first")


def note_is_written(run: AtomicRun, tx) -> None:
    tx.execute("INSERT INTO world (thing) VALUES (%(t)s)", {"t": f"{run.args.label}/note"})
    behave(run, "note")


def remove_note(run: Run) -> None:
    unmake(run, "note")


def second_thing_is_there(run: Run) -> None:
    behave(run, "second")
    make(run, "second")
    run.result["label"] = run.args.label


def remove_second(run: Run) -> None:
    unmake(run, "second")


def announce(args, tx, reason: str) -> None:
    tx.execute("INSERT INTO world (thing) VALUES (%(t)s) ON CONFLICT DO NOTHING", {"t": f"{args.label}/failed"})


STEPS = (
    Step(first_thing_is_there, undo=remove_first, lasting=True),
    AtomicStep(note_is_written, undo=remove_note),
    Step(second_thing_is_there, undo=remove_second, lasting=True),
)


@kind("trial.build", steps=STEPS, on_failure="undo", attempts=3, failed=announce)
@dataclass(frozen=True)
class Build:
    """Three steps, undone when the job fails."""

    label: str
    project_id: str | None = None


@kind("trial.pack", steps=STEPS, on_failure="undo", attempts=3, lane="bulk", queue="bulk", conflicts=("trial.end",))
@dataclass(frozen=True)
class Pack:
    """Like a backup: in the bulk lane, undone when it fails, not beside the end of its project."""

    label: str
    project_id: str


@kind("trial.keep", steps=STEPS[:1] + STEPS[2:], attempts=3)
@dataclass(frozen=True)
class Keep:
    """Two outside steps, kept for a retry."""

    label: str
    project_id: str | None = None


READ: dict[str, object] = {}


def read_world(run: Run) -> str:
    """Look before the transaction begins: there is none of this job's yet."""
    with outside(run) as session:
        READ["at"] = session.execute("SELECT clock_timestamp()").fetchone()[0]
    return run.args.label


def read_is_noted(run: AtomicRun, tx, label: str) -> None:
    READ["began"] = tx.value("SELECT now()")
    READ["run"] = run
    run.result["read"] = label


@kind("trial.reading", steps=(AtomicStep(read_is_noted, reads=read_world),), lane=None)
@dataclass(frozen=True)
class Reading:
    """An atomic step that has to know something of the world."""

    label: str


def nothing(run: Run) -> None:
    behave(run, "nothing")


@kind("trial.nothing", steps=(Step(nothing),), lane=None)
@dataclass(frozen=True)
class Nothing:
    """One step that does nothing, beside anything."""

    label: str = ""


@kind("trial.turn", steps=(Step(nothing),))
@dataclass(frozen=True)
class Turn:
    """One step in its project's control lane."""

    label: str
    project_id: str


@kind("trial.bulk", steps=(Step(nothing),), lane="bulk", queue="bulk", max_running=2)
@dataclass(frozen=True)
class Bulk:
    """A bulk job of which two may run at a time."""

    label: str
    project_id: str


@kind("trial.alone", steps=(Step(nothing),), conflicts=("trial.bulk",))
@dataclass(frozen=True)
class Alone:
    """Must not run beside a bulk job of its project."""

    label: str
    project_id: str


@kind("trial.urgent", steps=(Step(nothing),), preempts=True, coalesces=True)
@dataclass(frozen=True)
class Urgent:
    """Does not wait behind a job in back-off; folds into one already queued."""

    label: str
    project_id: str


@kind("trial.end", steps=(Step(nothing, no_return=True),), supersedes=True, preempts=True)
@dataclass(frozen=True)
class End:
    """Supersedes what is queued; past its only step there is no return."""

    label: str
    project_id: str


def write_then_return(run: Run) -> None:
    behave(run, "commit")
    make(run, "committed")


@kind("trial.commit", steps=(Step(write_then_return, no_return=True), Step(second_thing_is_there)))
@dataclass(frozen=True)
class Commit:
    """Cannot be cancelled once its first step has begun."""

    label: str
    project_id: str | None = None


@kind("trial.long", steps=(Step(nothing, long=True),), lane=None)
@dataclass(frozen=True)
class Long:
    """A step that a stopping worker interrupts at its safe points."""

    label: str


def children_are_enqueued(run: AtomicRun, tx) -> None:
    for number in range(run.args.count):
        run.spawn(tx, Member(f"{run.args.label}{number}", f"proj_{number:016x}"))


def children_have_ended(run: Run) -> None:
    failed = [child for child in run.children() if child["status"] != "succeeded"]
    if len(failed) > run.args.budget:
        raise GiveUp(f"{len(failed)} of {run.args.count} failed")
    run.result["failed"] = [child["args"]["label"] for child in failed]


@kind(
    "trial.fleet",
    steps=(AtomicStep(children_are_enqueued), Step(children_have_ended, joins="member")),
    lane=None,
    max_children=3,
)
@dataclass(frozen=True)
class Fleet:
    """A parent of some members, of which three may run at a time."""

    label: str
    count: int
    budget: int = 0


@kind("trial.member", steps=(Step(nothing),))
@dataclass(frozen=True)
class Member:
    """One job of a fleet."""

    label: str
    project_id: str


def flour_is_bought(run: Run) -> None:
    """Whoever buys it again throws away what was baked of the first."""
    unmake(run, "bread")
    make(run, "flour")
    run.result["flour"] = run.result.get("flour", 0) + 1


def recipe_is_noted(run: AtomicRun, tx) -> None:
    run.result["note"] = "baked"


def bread_is_baked(run: Run) -> None:
    make(run, "bread")
    unmake(run, "flour")
    run.result["loaves"] = run.result.get("loaves", 0) + 1


def table_is_laid(run: Run) -> None:
    behave(run, "last")


@kind(
    "trial.consume",
    steps=(Step(flour_is_bought), AtomicStep(recipe_is_noted), Step(bread_is_baked), Step(table_is_laid)),
    attempts=3,
)
@dataclass(frozen=True)
class Consume:
    """A later step uses up what an earlier one has made."""

    label: str
    project_id: str | None = None
