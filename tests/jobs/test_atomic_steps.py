"""An atomic step changes the platform database and nothing else: its run has no way to the world, by its type."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import jobs.kinds
from jobs.engine import kind as kinds
from jobs.engine.kind import AtomicStep, Step
from jobs.engine.run import AtomicRun
from tests.fixtures.atomic_acts import ACTS, SEEN

CHECKOUT = Path(__file__).resolve().parents[2]
assert jobs.kinds
STEPS = [
    pytest.param(step, id=f"{found.name}:{step.name}")
    for found in kinds.kinds().values()
    if not found.name.startswith("trial.")
    for step in found.steps
]
ASKS = """
from typing import Any
from infra.postgres.database import Transaction
from jobs.engine.kind import AtomicStep
from jobs.engine.run import AtomicRun, Run

def with_the_world(run: Run[Any], tx: Transaction) -> None: ...
def wanting_the_world(run: AtomicRun[Any], tx: Transaction) -> None:
    run.infra.database.autocommit()
    run.children()
    run.transaction()
def given_another(run: AtomicRun[Any], tx: Transaction, known: int) -> None: ...
def text(run: Run[Any]) -> str: return ""

AtomicStep(with_the_world)
AtomicStep(given_another, reads=text)
"""


def takes(function) -> list[str]:
    """What a step is given, by the annotations as they are written."""
    given = [found for found in inspect.signature(function).parameters.values() if found.kind != found.KEYWORD_ONLY]
    return [found.annotation.partition("[")[0] for found in given]


@pytest.mark.parametrize("step", STEPS)
def test_an_atomic_step_is_given_a_run_without_the_world_and_any_other_one_no_transaction(step):
    undo = [takes(step.undo)] if step.undo is not None else []
    if isinstance(step, AtomicStep):
        given = takes(step.function)
        assert given[:2] == ["AtomicRun", "Transaction"]
        assert len(given) <= 3
        assert step.reads is None or takes(step.reads) == ["Run"]
    else:
        assert isinstance(step, Step)
        assert takes(step.act) == ["Run"]
    assert undo in ([], [["Run"]])


def test_the_run_of_an_atomic_step_has_its_job_and_nothing_else():
    members = {name for name in dir(AtomicRun) if not name.startswith("_")} | set(AtomicRun.__dataclass_fields__)
    assert members == {"args", "job_id", "kind", "settings", "result", "spawn", "_spawn"}


def test_types_refuse_an_atomic_step_that_asks_for_the_world(tmp_path):
    (tmp_path / "asks.py").write_text(ASKS)
    argv = [sys.executable, "-m", "mypy", "--no-error-summary", str(tmp_path / "asks.py")]
    told = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False).stdout
    refused = [line.partition(": error: ")[2] for line in told.splitlines()]
    assert [line.partition(";")[0] for line in refused] == [
        '"AtomicRun[Any]" has no attribute "infra"  [attr-defined]',
        '"AtomicRun[Any]" has no attribute "children"  [attr-defined]',
        '"AtomicRun[Any]" has no attribute "transaction"  [attr-defined]',
        'Argument 1 to "AtomicStep" has incompatible type "Callable[[Run[Any], Transaction], None]"',
        'Cannot infer value of type parameter "F" of "AtomicStep"  [misc]',
    ]


def test_whoever_watches_atomic_steps_sees_one_that_opens_a_file(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")

    def act():
        (tmp_path / "file").read_text()

    monkeypatch.setitem(ACTS, act.__code__, "trial:act")
    act()
    assert [line.partition(" ")[0] for line in SEEN] == ["trial:act:"]
    SEEN.clear()
