"""How long a claim takes, by how many jobs wait: a database of its own, so that no worker takes part."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from infra.postgres import migrations
from infra.postgres.database import Database
from infra.postgres.sql import statements
from jobs.engine.enqueue import enqueue
from jobs.engine.table import ClaimRequest
from scripts.bench.figures import Figure, percentile
from scripts.bench.kinds import Tick

if TYPE_CHECKING:
    from scripts.bench.installation import BenchInstallation

SQL = statements(__file__)
DEPTHS = (100, 1_000, 10_000, 100_000)
CLAIMS = 80
DATABASE = "bench_backlog"
# Longer than the bench takes: nothing is given up while it is measured.
LEASE_SECONDS = 3600.0
FLAT = 1.5


def claim_ms(database: Database, depth: int) -> list[float]:
    """Enqueue `depth` jobs and time claims."""
    claims = ClaimRequest("bench", ["control"], [Tick.kind.name_and_version], LEASE_SECONDS)  # type: ignore[attr-defined]
    with database.autocommit() as tx:
        tx.execute(SQL.clear)
        tx.execute(SQL.serve, {"served": Tick.kind.name_and_version, "kind": Tick.kind.name})  # type: ignore[attr-defined]
    with database.transaction() as tx:
        model = enqueue(tx, Tick())
        tx.execute(SQL.multiply, {"id": model.id, "more": depth - 1})
    with database.autocommit() as tx:
        tx.execute(SQL.settle)
        times = []
        for _ in range(CLAIMS):
            start = time.perf_counter()
            if claims.take(tx) is None:
                raise RuntimeError("a job waits and was not found")
            times.append((time.perf_counter() - start) * 1000)
    return times


def measure_backlog(at: BenchInstallation) -> list[Figure]:
    """Return the median claim at each depth; it must not grow with it."""
    url = make_conninfo(at.settings.database_url, dbname=DATABASE)
    with psycopg.connect(at.settings.database_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                migrations.apply_migrations(connection, "platform")
            database = Database(url, name="bench")
            medians = {depth: percentile(claim_ms(database, depth), 0.5) for depth in DEPTHS}
            database.close()
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(DATABASE)))
    floor = medians[DEPTHS[0]]
    return [
        Figure(f"claim, {depth:,} jobs wait, p50", ms, "ms", floor, f"<= {FLAT} x", ms <= FLAT * floor)
        for depth, ms in medians.items()
    ]
