"""Whatever two jobs of a project there are: which of them may run beside which, and what the one that may not is told."""

from __future__ import annotations

from dataclasses import fields
from itertools import product

import pytest

import jobs.kinds  # noqa: F401  every kind registers itself
from jobs.engine import kind as kinds
from jobs.engine import view
from tests.jobs.conftest import wait_until
from tests.jobs.trial_kinds import Alone, Bulk

P = "proj_0000000000000001"


def of_a_project() -> list[kinds.Kind]:
    """Every kind of ours whose jobs belong to a project."""
    return [
        declared
        for name, declared in sorted(kinds.kinds().items())
        if not name.startswith("trial.") and "project_id" in {member.name for member in fields(declared.arguments)}
    ]


def excluded(one: kinds.Kind, other: kinds.Kind) -> bool:
    """Whether two kinds must not run beside each other: one of them names the other, or they share a lane."""
    named = other.name in one.conflicts or one.name in other.conflicts
    return named or (one.lane is not None and one.lane == other.lane)


def add(tx, declared: kinds.Kind, number: int) -> str:
    """Write a job as its claim will find it, with nothing else in its way."""
    job = f"job_{number:032x}"
    lane = f"{P}/{declared.lane}" if declared.lane else None
    free = lane is None or not tx.value("SELECT EXISTS (SELECT FROM jobs WHERE lane = %s)", (lane,))
    tx.execute(
        "INSERT INTO jobs (id, kind, version, queue, lane, project_id, ready) VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (job, declared.name, declared.version, declared.queue, lane, P, free),
    )
    return job


def claim(tx, declared: kinds.Kind) -> str | None:
    """Ask for a job as a worker does that serves this kind alone."""
    taken = tx.row(
        "SELECT (job).id FROM take_job('somebody', %s::text[], %s::text[], interval '1 minute')",
        ([declared.queue], [declared.name_and_version]),
    )
    return None if taken is None else taken["id"]


class TakenBackError(Exception):
    """Nothing of a pair outlives it."""


def meet(engine, first: kinds.Kind, second: kinds.Kind) -> tuple[bool, dict | None]:
    """Have the first run and ask for the second; return whether it was taken, and what it says that it waits for."""
    found: list = []
    with pytest.raises(TakenBackError), engine.infra.database.transaction() as tx:
        one = add(tx, first, 1)
        assert claim(tx, first) == one
        other = add(tx, second, 2)
        said = tx.value("SELECT job_waiting_for(jobs) FROM jobs WHERE id = %s", (other,))
        found += [claim(tx, second) == other, said]
        raise TakenBackError
    return found[0], found[1]


def test_of_each_two_kinds_the_one_that_came_first_is_waited_for(engine):
    wrong, waited = [], 0
    for first, second in product(of_a_project(), repeat=2):
        taken, said = meet(engine, first, second)
        alone = first is second and first.max_running == 1
        if taken == (excluded(first, second) or alone):
            wrong.append(f"{second.name} beside {first.name}: taken {taken}, said {said}")
        if taken != (said is None):
            wrong.append(f"{second.name} beside {first.name}: taken {taken}, yet it says {said}")
        if excluded(first, second):
            waited += 1
            if said is None or said["reason"] != "behind" or said["jobId"] != f"job_{1:032x}":
                wrong.append(f"{second.name} waits for {first.name}, says {said}")
    assert wrong == []
    assert waited > len(of_a_project()), "conflicts across lanes are among them"


def test_a_pause_waits_for_the_vacuum_that_runs_and_a_vacuum_for_the_pause(engine):
    vacuum, pause = kinds.newest("project.vacuum"), kinds.newest("project.pause")
    assert not meet(engine, vacuum, pause)[0]
    assert not meet(engine, pause, vacuum)[0]


def test_a_job_that_says_nothing_of_a_conflict_waits_for_the_one_that_names_it(engine, other_engine, at_gate):
    entered, gate = at_gate("alone/nothing")
    alone = engine.enqueue(Alone("alone", P))
    running = engine.in_background()
    assert entered.wait(20)
    bulk = engine.enqueue(Bulk("bulk", P))
    assert other_engine.runner.run_one() is False, (
        "A job waits for the one that must not run beside it, whoever says so"
    )
    with engine.infra.database.autocommit() as tx:
        told = view.show_job(tx, bulk.id)["waitingFor"]
    assert (told["reason"], told["jobId"]) == ("behind", alone.id)
    gate.set()
    running.join(20)
    wait_until(other_engine.runner.run_one)
    assert engine.job(bulk.id).status == "succeeded"
