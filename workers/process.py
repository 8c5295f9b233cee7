"""One worker process: one Dramatiq worker, one liveness session, one beating thread."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

import jobs.kinds  # noqa: F401 - registers every kind
from config.logging import scrub, setup_logging
from infra import exhaustion, stop_signals
from infra.composition import Infra
from infra.errors import Refused, Unavailable
from jobs.engine.lease import Leases
from jobs.engine.runner import Runner
from jobs.engine.worker import Liveness, worker_name
from jobs.loops.scheduler import start_loops
from workers.broker import DoorbellBroker, worker_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.settings import Settings
    from jobs.loops.scheduler import Loop

log = logging.getLogger(__name__)
# Shorter than the supervisor's patience (30 s), longer than any short step.
LEAVE_SECONDS = 25.0
START_PAUSE_SECONDS = 0.2


class Process:
    """The parts of a worker process and the order in which they start and stop."""

    def __init__(self, settings: Settings, queues: list[str]) -> None:
        self.queues = queues
        self.name = worker_name()
        self.infra = Infra.open(settings, name="launchdb-worker")
        self.liveness = Liveness(
            self.infra.database,
            name=self.name,
            queues=queues,
            threads=settings.worker_threads,
            heard=lambda _payload: self.broker.wake(),
        )
        self.leases = Leases(self.infra.database, settings, worker=self.name)
        self.liveness.back = self.leases.renew_soon
        self.runner = Runner(
            self.infra,
            self.leases,
            worker=self.name,
            queues=queues,
            serves=self.liveness.serves,
            losses=lambda: self.liveness.lost_count,
            scrub=scrub,
        )
        self.broker = DoorbellBroker(
            settings.redis_url,
            self.infra.doorbell,
            self.infra.database,
            serves=self.liveness.serves,
            threads=settings.worker_threads,
        )
        self._worker = worker_of(self.broker, queues, self.runner)

    def start(self) -> None:
        """Take the liveness lock, then begin to listen. Raises Refused behind a transaction pooler."""
        while True:
            try:
                self.liveness.take()
                break
            except Unavailable:
                time.sleep(START_PAUSE_SECONDS)
        for target in (self.liveness.run, self.leases.run):
            threading.Thread(target=exhaustion.vital_thread(target), name=target.__qualname__, daemon=True).start()
        self._worker.start()
        log.info("worker started", extra={"worker": self.name, "queues": self.queues})

    def stop(self) -> None:
        """Claim nothing more, finish or interrupt the steps that run, give the leases back, sign off."""
        self.runner.stopping = True
        self.broker.wake()
        self._worker.stop(timeout=int(LEAVE_SECONDS * 1000))
        self.leases.stop()
        self.liveness.stop()
        self.infra.close()
        log.info("worker stopped", extra={"worker": self.name})


def main(settings: Settings, queues: list[str], *, beside: Callable[[Infra], list[Loop]] | None = None) -> None:
    """Work until SIGTERM or SIGINT; end with exit status 1 when the database cannot hold a session lock.

    beside  gives loops that run in this process as well
    """
    setup_logging("worker")
    exhaustion.watch_for_shortage()
    told_to_stop, stopped = stop_signals.listen(), threading.Event()
    try:
        with exhaustion.end_process_on_shortage("worker cannot start"):
            process = Process(settings, queues)
            process.start()
            if beside is not None:
                start_loops(beside(process.infra), stopped)
    except Refused as error:
        log.critical("worker cannot start", extra={"reason": str(error)})
        raise SystemExit(1) from error
    told_to_stop()
    stopped.set()
    process.stop()
