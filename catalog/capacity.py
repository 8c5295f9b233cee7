"""What fits on this server: connections, memory and disk, by the guide's formulas and as measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalog.project_states import SETS
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from config.settings import Settings
    from infra.postgres.database import Transaction

SQL = statements(__file__)
DEFAULT_POOL = 5
# Processes that reach Postgres themselves, past the pooler: the API, Auth, Storage, manager, scheduler, three workers.
PROCESSES = 8
# Megabytes, as the guide lists them: the system, PgBouncer, the API, the manager, Auth, Storage, Caddy, the rest.
PARTS_MB = (1000, 100, 200, 300, 200, 200, 200, 100)
CONNECTION_MB, PROJECT_MB, STEP_MB = 1, 50, 500
# Gigabytes: images, a platform database that is new, logs of a day, what a project's users upload.
IMAGES_GB, NEW_GB, LOGS_GB, UPLOADS_GB, STEP_GB = 2.0, 1.0, 0.5, 1.0, 50
GB = 1_000_000_000


class PoolsDoNotFit(Exception):
    """The pools of all projects would need more connections than Postgres takes."""


@dataclass(frozen=True)
class ConnectionUse:
    """Where Postgres's connections go. reserves: what pools may borrow; they are more than there need be room for."""

    most: int
    reserved: int
    direct: int
    pools: int
    reserves: int
    in_use: int

    @property
    def available(self) -> int:
        """How many more connections pools may have."""
        return self.most - self.reserved - self.direct - self.pools

    @property
    def proposal(self) -> int:
        """What POSTGRES_MAX_CONNECTIONS should be for everything to fit, in hundreds."""
        return max(self.most, math.ceil((self.most - self.available) / 100) * 100)


def memory_mb(projects: int, most: int) -> int:
    """Return how much memory the guide plans: its parts, rounded up to half a gigabyte, and 50 MB for each project."""
    parts = sum(PARTS_MB) + most * CONNECTION_MB
    return math.ceil(parts / STEP_MB) * STEP_MB + projects * PROJECT_MB


def storage_gb(projects: int, database_gb: float, retention_days: int) -> float:
    """Return how much disk the guide plans: images, databases, logs and backups of so many days, uploads."""
    kept = retention_days * (LOGS_GB + database_gb)
    return IMAGES_GB + database_gb + kept + projects * UPLOADS_GB


def recommended_disk_gb(planned: float) -> tuple[int, int]:
    """Return from where to where a disk should be that is to hold this."""
    least = math.ceil(planned / STEP_GB) * STEP_GB
    return least, least + STEP_GB


def default_pool_size(tx: Transaction) -> int:
    """Return how large the pool of a project is of which nothing else was said."""
    return int(tx.value(SQL.pool_size) or DEFAULT_POOL)


def connection_use(tx: Transaction, settings: Settings) -> ConnectionUse:
    """Return where the connections go, with the pools as they stand in the catalogue."""
    return _connections(tx, settings, tx.row(SQL.server) or {})


def _connections(tx: Transaction, settings: Settings, server: dict[str, Any]) -> ConnectionUse:
    pools = tx.row(SQL.pools) or {}
    return ConnectionUse(
        most=server["most"],
        reserved=server["reserved"],
        direct=PROCESSES * settings.database_pool_size,
        pools=pools["pools"],
        reserves=pools["projects"] * settings.pool_reserve,
        in_use=server["in_use"],
    )


def check_pools_fit(tx: Transaction, settings: Settings) -> None:
    """Refuse pools that do not fit, as the catalogue has them by now. Raises PoolsDoNotFit.

    Without a pooler a pool is only what a data API opens at most.
    """
    if not settings.pooler_url:
        return
    tx.execute(SQL.lock)
    found = connection_use(tx, settings)
    if found.available < 0:
        raise PoolsDoNotFit(
            f"the pools of all projects would be {found.pools} connections, with {found.direct} for the platform and"
            f" {found.reserved} reserved; Postgres takes {found.most}: set POSTGRES_MAX_CONNECTIONS to"
            f" {found.proposal} or more, or make pools smaller"
        )


def set_pools(tx: Transaction, settings: Settings, size: int) -> list[dict[str, Any]]:
    """Set the size of every pool, those of projects to come included; return whose was another.

    Raises PoolsDoNotFit.
    """
    tx.execute(SQL.set_pool_size, {"pool_size": size})
    changed = tx.rows(SQL.set_pools, {"pool_size": size, **SETS})
    check_pools_fit(tx, settings)
    return changed


def capacity_report(tx: Transaction, settings: Settings, projects: int | None = None) -> dict[str, Any]:
    """Return what is used and planned, for as many projects as there are or are thought of."""
    server = tx.row(SQL.server) or {}
    found = _connections(tx, settings, server)
    count = (tx.row(SQL.pools) or {})["projects"] if projects is None else projects
    measured = server["database_bytes"] / GB
    planned = storage_gb(count, max(NEW_GB, measured), settings.backup_retention_days)
    least, most = recommended_disk_gb(planned)
    return {
        "projects": count,
        "poolSize": default_pool_size(tx),
        "pooler": bool(settings.pooler_url),
        "connections": {
            "max": found.most,
            "reserved": found.reserved,
            "direct": found.direct,
            "pools": found.pools,
            "reserves": found.reserves,
            "inUse": found.in_use,
            "room": found.available,
            "proposal": found.proposal,
        },
        "memoryMb": memory_mb(count, found.most),
        "storage": {
            "databaseBytes": server["database_bytes"],
            "plannedGb": round(planned, 1),
            "adviceFromGb": least,
            "adviceToGb": most,
        },
    }
