"""Job kinds of the benches: nothing is done, so that what is measured is the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.engine.kind import Step, kind

if TYPE_CHECKING:
    from jobs.engine.run import Run


def tick(run: Run[Tick]) -> None:
    """Do nothing but say so."""
    run.result["ticked"] = True


@kind("bench.tick", steps=(Step(tick),), lane=None)
@dataclass(frozen=True)
class Tick:
    """One step of nothing."""


def first(run: Run[ThreeSteps]) -> None:
    """Do nothing but say so."""
    run.result["first"] = True


def second(run: Run[ThreeSteps]) -> None:
    """Do nothing but say so."""
    run.result["second"] = True


def third(run: Run[ThreeSteps]) -> None:
    """Do nothing but say so."""
    run.result["third"] = True


@kind("bench.three", steps=(Step(first), Step(second), Step(third)), lane=None)
@dataclass(frozen=True)
class ThreeSteps:
    """Three steps of nothing, each with its checkpoint."""
