"""Job kinds of the benches: nothing is done, so that what is measured is the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.kind import Step, kind

if TYPE_CHECKING:
    from jobs.run import Run


def tick(run: Run[Tick]) -> None:
    """Do nothing but say so."""
    run.result["ticked"] = True


@kind("bench.tick", steps=(Step(tick),), lane=None)
@dataclass(frozen=True)
class Tick:
    """One step of nothing."""
