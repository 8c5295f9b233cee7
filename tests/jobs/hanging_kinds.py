"""Job kinds whose steps wait in Postgres for somebody who does not mean to let go."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from infra.errors import Unavailable
from infra.postgres.database import translate_errors
from jobs.engine.errors import GiveUp
from jobs.engine.kind import AtomicStep, Step, kind
from jobs.engine.run import AtomicRun, Run
from tests.jobs.trial_kinds import outside, unmake

# It catches its own cancellation, as a tenant's trigger may.
SLEEP = """DO $$ BEGIN LOOP
    BEGIN PERFORM pg_sleep(200); EXCEPTION WHEN query_canceled THEN NULL; END;
END LOOP; END $$"""
RELEASED = threading.Event()


def hang(run: Run) -> None:
    """Wait in Postgres for ever; what comes of the session's end is what an adapter makes of it."""
    with translate_errors(), outside(run) as session:
        session.execute(
            "INSERT INTO world (thing) VALUES ('hung') ON CONFLICT (thing) DO UPDATE SET made = world.made + 1"
        )
        session.execute(SLEEP)


def hang_and_keep_silent(run: Run) -> None:
    """Wait in Postgres again and again, whatever comes of it; a safe point lies between."""
    for _ in range(10):
        run.check()
        try:
            hang(run)
        except Unavailable:
            continue
    raise GiveUp("nobody has ended it")


def refuse_on_end(run: Run) -> None:
    """Take the end of its session for an answer, as one does whose program has ended."""
    try:
        hang(run)
    except Unavailable:
        raise GiveUp("the program ended with exit status 1") from None


def look_and_hang(run: Run) -> str:
    hang(run)
    return "never"


def note_look(_run: AtomicRun, _tx, _seen: str) -> None:
    return


def ignore(_run: Run) -> None:
    """Wait where nobody reaches it."""
    RELEASED.wait(60)


def do_nothing(_run: Run) -> None:
    return


def fail(_run: Run) -> None:
    raise GiveUp("it cannot be done")


def wait_for_lock(run: Run) -> None:
    """Change what somebody else has changed and not committed."""
    with translate_errors(), outside(run) as session:
        session.execute("SET lock_timeout = '2500ms'")
        session.execute("UPDATE world SET made = 2 WHERE thing = 'held'")


def take_back(run: Run) -> None:
    unmake(run, "nothing")


@kind(
    "trial.hang",
    steps=(Step(hang, undo=take_back),),
    on_failure="undo",
    queue="bulk",
    lane="bulk",
    conflicts=("trial.end",),
)
@dataclass(frozen=True)
class Hang:
    """Like a backup that a tenant's function holds up."""

    label: str
    project_id: str


@kind("trial.hang_silently", steps=(Step(hang_and_keep_silent),), lane=None)
@dataclass(frozen=True)
class HangSilently:
    """A step that goes on whatever ends its sessions."""

    label: str


@kind("trial.hang_and_refuse", steps=(Step(refuse_on_end),), lane=None)
@dataclass(frozen=True)
class HangAndRefuse:
    """A step that takes the end of its session for a refusal."""

    label: str


@kind("trial.look_and_hang", steps=(AtomicStep(note_look, reads=look_and_hang),), lane=None)
@dataclass(frozen=True)
class LookAndHang:
    """An atomic step whose look at the world hangs."""

    label: str


@kind("trial.overdue", steps=(Step(hang, seconds=1),), lane=None, attempts=2)
@dataclass(frozen=True)
class Overdue:
    """A step that has a second."""

    label: str


@kind("trial.overdue_long", steps=(Step(hang, seconds=1, long=True),), lane=None, attempts=2)
@dataclass(frozen=True)
class OverdueLong:
    """A step that was given the time that its work needs."""

    label: str


@kind(
    "trial.overdue_undo",
    steps=(Step(do_nothing, undo=hang, seconds=1), Step(fail)),
    lane=None,
    attempts=1,
    on_failure="undo",
)
@dataclass(frozen=True)
class OverdueUndo:
    """The way back hangs."""

    label: str


@kind("trial.lock", steps=(Step(wait_for_lock),), attempts=1)
@dataclass(frozen=True)
class WaitForLock:
    """Waits for a lock in vain."""

    label: str
    project_id: str


@kind("trial.ignore", steps=(Step(ignore, seconds=1),), lane=None)
@dataclass(frozen=True)
class Ignore:
    """Cannot be stopped at all."""

    label: str
