"""platform.vacuum: the platform's own tables are vacuumed and analysed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.postgres.vacuum import Vacuum
from jobs.engine.kind import BULK, Step, kind
from jobs.kinds.project.vacuum import report, vacuum_all

if TYPE_CHECKING:
    from jobs.engine.run import Run


def vacuum_platform_tables(run: Run[VacuumPlatform]) -> None:
    """Vacuum and analyse what has changed. Nothing of a tenant's is in this database."""
    vacuum = Vacuum(run.infra.databases.cluster, run.infra.platform_conninfo, run.session)
    run.check()
    before, size = vacuum.tables(), vacuum.size()
    left = vacuum_all(run, vacuum, [table for table in before if table.changed])
    report(run, vacuum, before, left)
    run.result["bytes"] = {"before": size, "after": vacuum.size()}


@kind(
    "platform.vacuum",
    steps=(
        Step(
            vacuum_platform_tables,
            long=True,
            title="Vacuum and analyse the platform's tables",
        ),
    ),
    queue=BULK,
    lane=None,
    max_running=1,
    coalesces=True,
)
@dataclass(frozen=True)
class VacuumPlatform:
    """Vacuums and analyses the tables of the platform database that have changed."""
