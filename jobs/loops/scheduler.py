"""The scheduler process: a loop each for relay, reaper, planner, sweeper, watchdog, sealer, pruner and the rest.

Those that look after the queue need its tables alone. Those that look after the world need what workers need: the
server's administrator, each project's secrets, PgBouncer, Caddy and the containers. Where each service has a login of
its own, a worker runs them.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jobs.kinds  # noqa: F401 - registers every kind
from config.logging import setup_logging
from infra import alive_file, exhaustion, stop_signals
from infra.composition import Infra
from infra.errors import Unavailable
from jobs.engine import breakers
from jobs.engine.history import MOST_JOBS, JobStatistics
from jobs.engine.planner import SchedulePlanner
from jobs.engine.pruner import Pruner
from jobs.engine.reaper import Reaper
from jobs.engine.relay import Relay
from jobs.loops.audit_sealer import AuditSealer
from jobs.loops.caddy_reconciler import CaddyReconciler
from jobs.loops.container_watcher import ContainerWatcher
from jobs.loops.idle_scaler import IdleScaler
from jobs.loops.quota_keeper import QuotaKeeper
from jobs.loops.schema_listener import SchemaListener
from jobs.loops.sweeper import Sweeper
from jobs.loops.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from config.settings import Settings

log = logging.getLogger(__name__)
PLAN_SECONDS = 5.0
PRUNE_SECONDS = 600.0
SWEEP_SECONDS = 30.0
SLEEP_SECONDS = 10.0
DOOR_SECONDS = 30.0
SEAL_SECONDS = 2.0
QUOTA_SECONDS = 10.0
HISTORY_SECONDS = 5.0
INTRUDER_SECONDS = 2.0
BREAKER_SECONDS = 2.0
HURRIED_SECONDS = 0.1
AWAY_SECONDS = 0.2


@dataclass
class Loop:
    """Calls run_once for ever: at once again when there was much to do, after a pause otherwise."""

    name: str
    run_once: Callable[[], int]
    pause_seconds: Callable[[int], float]

    def run(self, stopped: threading.Event) -> None:
        """Run until stopped. One fault is logged and does not end the loop."""
        while not stopped.is_set():
            try:
                pause = self.pause_seconds(self.run_once())
            except Unavailable:
                pause = AWAY_SECONDS
            except Exception:
                log.exception("loop failed", extra={"loop": self.name})
                pause = max(1.0, self.pause_seconds(0))
            stopped.wait(pause)


def queue_loops(infra: Infra) -> list[Loop]:
    """Return the loops of the queue, the schedules, the audit and the old rows."""
    settings = infra.settings
    relay = Relay(infra.database, infra.doorbell)
    reaper = Reaper(infra.database, settings)
    planner = SchedulePlanner(infra.database, offsite=bool(infra.settings.rsync_dest))
    sleeper = IdleScaler(infra)
    sealer = AuditSealer(infra.database)
    historian = JobStatistics(infra.database)
    pruner = Pruner(infra.database, settings)

    def reap() -> int:
        found = reaper.run_once()
        alive_file.touch_alive_file(settings.alive_file)
        return found

    return [
        Loop("relay", relay.run_once, lambda _count: settings.relay_seconds),
        Loop(
            "reaper",
            reap,
            lambda _count: min(HURRIED_SECONDS, settings.reaper_seconds) if reaper.hurried else settings.reaper_seconds,
        ),
        Loop("planner", planner.run_declared, lambda _count: PLAN_SECONDS),
        Loop("sleeper", sleeper.run_once, lambda _count: SLEEP_SECONDS),
        Loop("sealer", sealer.run_once, lambda count: 0.0 if count else SEAL_SECONDS),
        Loop("historian", historian.run_once, lambda count: 0.0 if count >= MOST_JOBS else HISTORY_SECONDS),
        Loop("breakers", lambda: breakers.close_recovered(infra.database), lambda _count: BREAKER_SECONDS),
        # Beside the scheduled platform.prune: letters are forgotten soon after their time, also while no worker runs.
        Loop("pruner", pruner.run_once, lambda count: 0.0 if count else PRUNE_SECONDS),
    ]


def world_loops(infra: Infra) -> list[Loop]:
    """Return the loops that look at what is outside, and put it right or have it put right."""
    sweeper, watchdog, keeper = Sweeper(infra), Watchdog(infra), QuotaKeeper(infra)
    doors = [CaddyReconciler(infra.proxy)] if infra.proxy else []
    found = [
        Loop("sweeper", sweeper.run_once, lambda _count: SWEEP_SECONDS),
        Loop("watchdog", watchdog.run_once, lambda _count: 0.0),
        Loop("locks", watchdog.guard_locks, lambda _count: 0.0),
        Loop("quotas", keeper.run_once, lambda _count: QUOTA_SECONDS),
    ]
    found += [Loop("doorkeeper", each.run_once, lambda _count: DOOR_SECONDS) for each in doors]
    if infra.settings.runtime != "embedded":
        listener = SchemaListener(infra.database, infra.databases.cluster, infra.instances)
        found.append(Loop("listener", listener.run_once, lambda _count: 0.0))
        watcher = ContainerWatcher(infra)
        found.append(Loop("containers", watcher.run_once, lambda _count: 0.0))
        found.append(Loop("intruders", watcher.evict_intruders, lambda _count: INTRUDER_SECONDS))
    return found


def start_loops(loops: Iterable[Loop], stopped: threading.Event) -> list[threading.Thread]:
    """Start a thread for each loop, which ends soon after `stopped` is set."""
    threads = [threading.Thread(target=loop.run, args=(stopped,), name=loop.name, daemon=True) for loop in loops]
    for thread in threads:
        thread.start()
    return threads


def main(settings: Settings, *, world: bool = True) -> None:
    """Run until SIGTERM or SIGINT.

    world  also the loops that look after the world
    """
    setup_logging("scheduler")
    exhaustion.watch_for_shortage()
    told_to_stop, stopped = stop_signals.listen(), threading.Event()
    with exhaustion.end_process_on_shortage("scheduler cannot start"):
        infra = Infra.open(settings, name="launchdb-scheduler")
        threads = start_loops([*queue_loops(infra), *(world_loops(infra) if world else [])], stopped)
    log.info("scheduler started")
    told_to_stop()
    stopped.set()
    for thread in threads:
        thread.join(5)
    infra.close()
    log.info("scheduler stopped")
