"""The engine beside its peers: one worker process each, as many threads, the same Postgres and Valkey, by turns."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from config.settings import CHECKOUT
from infra.pipeline import run
from jobs.engine.enqueue import enqueue
from scripts.bench.figures import Figure
from scripts.bench.installation import installation
from scripts.bench.kinds import ThreeSteps, Tick
from scripts.bench.peers.stopwatch import Task

if TYPE_CHECKING:
    from scripts.bench.installation import BenchInstallation

THREADS = 8
ROUNDS = 3
AT_A_TIME = 100
PEER_SECONDS = 400.0
PROCFILE = CHECKOUT / "scripts" / "bench" / "Procfile"
# Its own environment: what peers need is not what we need.
PYTHON = CHECKOUT / "build" / "bench-peers" / "bin" / "python"
LAST = """
SELECT extract(epoch FROM max(finished_at) - min(started_at))::float8
  FROM (SELECT started_at, finished_at FROM jobs WHERE kind = %(kind)s AND status = 'succeeded'
         ORDER BY seq DESC LIMIT %(jobs)s) AS last"""


@dataclass(frozen=True)
class Peer:
    """A program of scripts/bench/peers, and how many jobs of how many steps it is given."""

    name: str
    program: str
    jobs: int
    steps: int
    way: str = ""

    def drain(self, at: BenchInstallation) -> float:
        """Run it in a database of its own; return jobs a second."""
        database = f"bench_{self.program}"
        with psycopg.connect(at.settings.database_url, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
            url = make_conninfo(at.settings.database_url, dbname=database)
            asked = Task(_as_url(url), at.settings.redis_url, self.jobs, self.steps, THREADS, self.way)
            try:
                said = run(
                    [PYTHON, "-m", f"scripts.bench.peers.{self.program}"],
                    feed=json.dumps(asdict(asked)).encode(),
                    timeout_seconds=PEER_SECONDS,
                    cwd=CHECKOUT,
                )
            finally:
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))
        return float(json.loads(said.splitlines()[-1])["drain"])


@dataclass(frozen=True)
class Ours:
    """Our engine, drained the same way."""

    name: str
    kind: type[Tick | ThreeSteps]
    jobs: int

    def drain(self, at: BenchInstallation) -> float:
        """Enqueue while the queue is paused, then let go; return jobs a second from the first claim to the last end."""
        at.http.post("/api/admin/queues/control/pause").raise_for_status()
        for _ in range(self.jobs // AT_A_TIME):
            with at.infra.database.transaction() as tx:
                for _ in range(AT_A_TIME):
                    enqueue(tx, self.kind())
        at.http.post("/api/admin/queues/control/resume").raise_for_status()
        at.wait_until_quiet()
        kind = self.kind.kind.name  # type: ignore[union-attr]
        with at.infra.database.autocommit() as tx:
            return self.jobs / float(tx.value(LAST, {"kind": kind, "jobs": self.jobs}))


OURS_ONE, OURS_THREE = Ours("ours, one step", Tick, 2000), Ours("ours, three steps", ThreeSteps, 2000)
FLOOR_ONE = Peer("SKIP LOCKED by hand, one step", "skip_locked", 4000, 1)
FLOOR_THREE = Peer("SKIP LOCKED by hand, three steps", "skip_locked", 4000, 3)
ROW_ONE = Peer("Dramatiq and a row by hand, one step", "dramatiq_row", 2000, 1)
ROW_THREE = Peer("Dramatiq and a row by hand, three steps", "dramatiq_row", 2000, 3)
PROCRASTINATE = Peer("procrastinate, no steps", "procrastinate_jobs", 1500, 1)
DBOS = Peer("DBOS Transact, three steps", "dbos_jobs", 400, 3)
DBOS_LIMITED = Peer("DBOS Transact, three steps, limited and polled often", "dbos_jobs", 400, 3, "limited")
RACERS = (
    OURS_ONE, PROCRASTINATE, ROW_ONE, FLOOR_ONE, OURS_THREE, DBOS, DBOS_LIMITED, ROW_THREE, FLOOR_THREE,
)  # fmt: skip


def _as_url(conninfo: str) -> str:
    """Return a conninfo as the URL that every peer understands."""
    parts = conninfo_to_dict(conninfo)
    address = f"{parts.pop('host')}:{parts.pop('port')}/{parts.pop('dbname')}"
    return f"postgresql://{parts.pop('user')}@{address}?{urlencode(parts)}"


def run_race() -> list[Figure]:
    """Drain with each by turns, several times, so that all meet the same machine; return medians and gates."""
    rates: dict[str, list[float]] = {racer.name: [] for racer in RACERS}
    with installation(
        LAUNCHDB_PROCFILE=str(PROCFILE), LAUNCHDB_FORMATION="worker=1", LAUNCHDB_WORKER_THREADS=str(THREADS)
    ) as at:
        at.wait_until_quiet()
        for _ in range(ROUNDS):
            for racer in RACERS:
                rates[racer.name].append(racer.drain(at))
    medians = {name: median(found) for name, found in rates.items()}
    return [Figure(f"drain: {name}", rate, "jobs/s") for name, rate in medians.items()] + gates(medians)


def gates(rates: dict[str, float]) -> list[Figure]:
    """Compare the medians."""
    best_dbos = max(rates[DBOS.name], rates[DBOS_LIMITED.name])
    one, three = rates[OURS_ONE.name], rates[OURS_THREE.name]
    return [
        _gate("one step beside procrastinate", one, rates[PROCRASTINATE.name], 2.0),
        _gate("three steps beside DBOS at its best", three, best_dbos, 3.0),
        _gate("three steps beside Dramatiq and a row", three, rates[ROW_THREE.name], 0.5),
        Figure("one step beside SKIP LOCKED", one, "jobs/s", rates[FLOOR_ONE.name]),
        Figure("three steps beside SKIP LOCKED", three, "jobs/s", rates[FLOOR_THREE.name]),
    ]


def _gate(what: str, rate: float, peer: float, times: float) -> Figure:
    return Figure(what, rate, "jobs/s", peer, f">= {times:g} x", rate >= times * peer)
