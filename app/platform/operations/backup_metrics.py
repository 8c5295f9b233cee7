"""Metrics of backups: how old the last good one is, and the last one that was proven, where that is worst."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily

from catalog import backups
from infra.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from infra.composition import Infra

FIGURES = {
    "projects_without_backup": ("launchdb_projects_without_backup", "projects, the platform included, with no backup"),
    "backup_seconds": ("launchdb_backup_age_seconds", "age of the newest backup of whom it is oldest"),
    "verified_seconds": (
        "launchdb_backup_verified_age_seconds",
        "age of the newest proven backup of whom it is oldest",
    ),
    "offsite_seconds": (
        "launchdb_backup_offsite_age_seconds",
        "age of the newest backup on another machine of whom it is oldest",
    ),
    "faulty": ("launchdb_backups_faulty", "backups that could not be proven"),
    "file_bytes": ("launchdb_backup_file_bytes", "bytes of projects' files in the newest backups"),
}


class BackupMetrics:
    """What should wake somebody: the worst figure over all projects."""

    def __init__(self, infra: Infra) -> None:
        self._infra = infra

    def collect(self) -> Iterator[Metric]:
        """Give the metrics; none while Postgres is away, and no age where there is nothing to have one."""
        try:
            with self._infra.database.autocommit() as tx:
                worst = backups.worst_figures(tx)
        except Unavailable:
            return
        for figure, (name, said) in FIGURES.items():
            if worst[figure] is not None:
                yield GaugeMetricFamily(name, said, value=float(worst[figure]))
