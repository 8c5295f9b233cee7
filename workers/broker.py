"""A Dramatiq broker whose queue is the doorbell: a blocking pop of job ids, and the job table while Redis is away."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import dramatiq
import redis
from dramatiq.broker import Broker, Consumer, MessageProxy

from catalog.ids import is_id
from infra import exhaustion
from infra.errors import Unavailable
from infra.signals.doorbell import bell_key, connect_to_wait
from jobs.engine.worker import claimable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dramatiq import Message

    from infra.postgres.database import Database
    from infra.signals.doorbell import Doorbell
    from jobs.engine.runner import Runner

log = logging.getLogger(__name__)
ACTOR = "run_job"
BLOCK_SECONDS = 1.0
BUSY_SECONDS = 0.2


class DoorbellBroker(Broker):
    """Delivers ids; acknowledging means nothing, because the job row decides what there is to do.

    Messages carry nothing but an id that has the form of one, so a forged one is at most a look at the table.
    """

    def __init__(self, url: str, doorbell: Doorbell, database: Database, *, serves: list[str], threads: int) -> None:
        super().__init__(middleware=[])
        self.url = url
        self.doorbell = doorbell
        self.database = database
        self.serves = serves
        self.threads = threads
        self.in_flight = 0
        self.changed = threading.Condition()

    def declare_queue(self, queue_name: str) -> None:
        """Make a queue known to the worker."""
        self.queues[queue_name] = None

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Ring for the id in the message; a delay is the job table's business."""
        if delay is not None:
            raise ValueError("a job is delayed by its run_at, not by the broker")
        self.doorbell.ring(message.queue_name, [str(message.args[0])])
        return message

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 1000) -> Consumer:  # noqa: ARG002 - Dramatiq's signature
        """Return the consumer of one queue."""
        return DoorbellConsumer(self, queue_name)

    def wake(self) -> None:
        """Have consumers that wait for Redis look at the table: a bell was rung inside Postgres."""
        with self.changed:
            self.changed.notify_all()


def worker_of(broker: DoorbellBroker, queues: list[str], runner: Runner) -> dramatiq.Worker:
    """Return a worker that answers every bell of these queues by the runner; not started yet."""
    for queue in queues:
        broker.declare_queue(queue)

    @dramatiq.actor(broker=broker, actor_name=ACTOR, queue_name=queues[0])
    def run_job(job_id: str) -> None:
        """Carry jobs to rest until none can be claimed; the id only says that there was one."""
        runner.drain()
        log.debug("bell answered", extra={"job_id": job_id})

    del run_job
    return dramatiq.Worker(broker, worker_threads=broker.threads, worker_timeout=1000)


class DoorbellConsumer(Consumer):
    """Waits for bells of one queue. Takes no more than the threads can use, so that other processes hear the rest."""

    def __init__(self, broker: DoorbellBroker, queue: str) -> None:
        self._broker = broker
        self._queue = queue
        self._redis = connect_to_wait(broker.url, held_seconds=BLOCK_SECONDS)
        self._found: list[str] = []
        self._away = False

    def __next__(self) -> MessageProxy | None:
        """Return the next message, or None about once a second."""
        broker = self._broker
        with broker.changed:
            if broker.in_flight >= broker.threads:
                broker.changed.wait(BUSY_SECONDS)
                return None
        job_id = self._hear()
        if job_id is None:
            return None
        if not is_id("job", job_id):
            log.warning("a message that is no job id was dropped")
            return None
        with broker.changed:
            broker.in_flight += 1
        return MessageProxy(
            dramatiq.Message(queue_name=self._queue, actor_name=ACTOR, args=(job_id,), kwargs={}, options={})
        )

    def _hear(self) -> str | None:
        if self._found:
            return self._found.pop()
        try:
            if self._away:
                # A call that is not held back fails soon: while Redis hangs, the table is looked at all the same.
                self._broker.doorbell.check()
            bell: Any = self._redis.blpop([bell_key(self._queue)], timeout=BLOCK_SECONDS)
        except UnicodeDecodeError:
            log.warning("a message that is no job id was dropped")
            return None
        except (redis.RedisError, OSError):
            return self._look_at_the_table()
        if self._away:
            self._away = False
            log.info("redis is back", extra={"queue": self._queue})
        return None if bell is None else str(bell[1])

    def _look_at_the_table(self) -> str | None:
        """Redis is away: the table is asked after every bell inside Postgres, and once a second in any case."""
        broker = self._broker
        if not self._away:
            self._away = True
            if found := exhaustion.current_shortage():
                log.error("bells are not heard", extra={"queue": self._queue, "reason": found})
            else:
                log.warning("redis is away, jobs are taken from the table", extra={"queue": self._queue})
        else:
            with broker.changed:
                broker.changed.wait(BLOCK_SECONDS)
        try:
            self._found = claimable(broker.database, self._queue, broker.serves, broker.threads)
        except Unavailable:
            time.sleep(BUSY_SECONDS)
        return self._found.pop() if self._found else None

    def ack(self, message: MessageProxy) -> None:  # noqa: ARG002 - Dramatiq's signature
        """Count the thread as free again."""
        with self._broker.changed:
            self._broker.in_flight -= 1
            self._broker.changed.notify_all()

    def nack(self, message: MessageProxy) -> None:
        """Like ack: the job row knows whether anything is left to do."""
        self.ack(message)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Give bells back to other processes; this one is leaving."""
        for message in messages:
            self.ack(message)
            self._broker.doorbell.ring(self._queue, [str(message.args[0])])

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()
