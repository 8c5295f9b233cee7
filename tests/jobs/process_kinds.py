"""Kinds for tests with real worker processes: their steps leave marks in a table and wait at gates kept there."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import psycopg

from jobs.engine.kind import Step, kind
from jobs.engine.run import Run


def mark(run: Run, thing: str) -> None:
    """Leave a mark: who acted, under which fence."""
    with psycopg.connect(run.infra.database.conninfo, application_name=run.session, autocommit=True) as session:
        session.execute(
            "INSERT INTO marks (thing, pid, fence) VALUES (%s, %s, %s)",
            (f"{run.args.label}/{thing}", os.getpid(), run.fence),
        )


def wait_at_gate(run: Run, thing: str) -> None:
    """Wait while the gate of that name is shut; the session is an open one of this attempt, and a mark says so."""
    with psycopg.connect(run.infra.database.conninfo, application_name=run.session, autocommit=True) as session:
        deadline, told = time.monotonic() + 60, False
        while time.monotonic() < deadline:
            row = session.execute("SELECT 1 FROM gates WHERE thing = %s", (f"{run.args.label}/{thing}",)).fetchone()
            if row is None:
                return
            if not told:
                session.execute(
                    "INSERT INTO marks (thing, pid, fence) VALUES (%s, %s, %s)",
                    (f"{run.args.label}/{thing}/waits", os.getpid(), run.fence),
                )
                told = True
            time.sleep(0.02)


def first(run: Run) -> None:
    run.check()
    mark(run, "first")
    wait_at_gate(run, "first")


def second(run: Run) -> None:
    run.check()
    wait_at_gate(run, "second")
    mark(run, "second")


@kind("trial.marks", steps=(Step(first), Step(second)), lane="control")
@dataclass(frozen=True)
class Marks:
    """Leaves two marks."""

    label: str
    project_id: str | None = None


def patient(run: Run) -> None:
    mark(run, "patient")
    while True:
        run.check()
        time.sleep(0.05)


@kind("trial.patient", steps=(Step(patient, long=True),), lane=None)
@dataclass(frozen=True)
class Patient:
    """A long step that only ends when it is interrupted."""

    label: str


def tick(run: Run) -> None:
    run.result["pid"] = os.getpid()


@kind("trial.tick", steps=(Step(tick),), lane=None)
@dataclass(frozen=True)
class Tick:
    """One step of nothing."""

    label: str = ""


def tick_two(run: Run) -> None:
    run.result["two"] = True


def tick_three(run: Run) -> None:
    run.result["three"] = True


@kind("trial.three_ticks", steps=(Step(tick), Step(tick_two), Step(tick_three)), lane=None)
@dataclass(frozen=True)
class ThreeTicks:
    """Three steps of nothing."""

    label: str = ""
