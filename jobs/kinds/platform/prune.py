"""platform.prune: what has been kept long enough is removed from the platform's own tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.engine.kind import BULK, Step, kind
from jobs.engine.pruner import Pruner

if TYPE_CHECKING:
    from jobs.engine.run import Run


def delete_old_rows(run: Run[PrunePlatform]) -> None:
    """Delete batch after batch until nothing is old enough."""
    pruner = Pruner(run.infra.database, run.infra.settings)
    deleted = 0
    run.check()
    while count := pruner.run_once():
        deleted += count
        run.check()
    run.result["rowsDeleted"] = deleted


@kind(
    "platform.prune",
    steps=(Step(delete_old_rows, long=True),),
    queue=BULK,
    lane=None,
    max_running=1,
    coalesces=True,
)
@dataclass(frozen=True)
class PrunePlatform:
    """Deletes old jobs, events, keys, tokens and failed logins."""
