"""One schedule: workers, reapers, a relay and clients on one stage, played until nothing is left to do."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

from catalog import idempotency
from infra.errors import Unavailable
from jobs.engine import kind as kinds
from jobs.engine import worker as workers
from jobs.engine.commands import JobConflict, JobNotFound, cancel, retry
from jobs.engine.enqueue import enqueue
from jobs.engine.lease import Leases
from jobs.engine.reaper import Reaper
from jobs.engine.relay import Relay
from jobs.engine.runner import Runner
from tests.simulation import kinds as trial
from tests.simulation.stage import CALM, Chances, Stage, Stuck
from tests.simulation.world import SimulatedBell, SimulatedDatabase, World, simulated_infra

WORKERS = 3
MOST_TURNS = 20_000
STORM_SECONDS = 300.0
LOCK, UNLOCK = "SELECT pg_try_advisory_lock(19524, %s)", "SELECT pg_advisory_unlock(19524, %s)"


class DyingCrash:
    """The engine's own crash points are places where the stage may let a worker die."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def die_if_reached(self, kind: str, step: str, point: str) -> None:
        self._stage.point(f"{kind}:{step}:{point}")


class SimulatedWorker:
    """A worker process: a liveness lock, leases with their beats, and one thread that drains."""

    def __init__(self, schedule: Schedule, number: int) -> None:
        self.schedule = schedule
        stage = schedule.stage
        self.name = f"worker-{stage.seed}-{number}"
        self.lock_key: int | None = None
        self.holds_lock = False
        self.lost = 0
        self.beats_at = 0.0
        self.leases = Leases(schedule.database, schedule.infra.settings, worker=self.name, clock=lambda: stage.now)
        self.runner = Runner(
            schedule.infra,
            self.leases,
            worker=self.name,
            queues=["control", "bulk"],
            serves=sorted(kinds.kinds()),
            losses=lambda: self.lost,
            clock=lambda: stage.now,
            sleep=stage.pause,
            random=stage.random,
        )
        self.runner.crash = DyingCrash(stage)
        # It goes by the machine's clock, and no step of this world waits for Postgres.
        self.runner.watch = SimpleNamespace(over=lambda _step: nullcontext())
        self.actor = stage.cast(self.name, self.work, mortal=True)

    def work(self, _actor) -> None:
        stage = self.schedule.stage
        while True:
            if self.holds_lock and self.schedule.bell.heard():
                self.runner.drain()
            # A blocking pop: a bell wakes it, and once in a while it returns with nothing.
            self.schedule.bell.listen(self.actor)
            stage.pause(stage.random.uniform(2.0, 5.0))

    @property
    def awake(self) -> bool:
        return not self.actor.ended and self.actor.frozen_until <= self.schedule.stage.now

    def live(self) -> None:
        """What the process's other threads do: keep the liveness lock and beat."""
        stage = self.schedule.stage
        if not self.awake or stage.now < stage.outage_until:
            return
        try:
            if not self.holds_lock:
                self.take_lock()
            if stage.now >= self.beats_at:
                self.leases.renew_all()
                self.beats_at = stage.now + self.schedule.infra.settings.beat_seconds
        except Unavailable:
            self.beats_at = stage.now + 0.2

    def take_lock(self) -> None:
        row = {"name": self.name, "host": "simulated", "pid": 0, "queues": ["control", "bulk"], "threads": 1}
        with self.schedule.database.autocommit() as tx:
            self.lock_key = int(tx.value(workers.SQL.register, {**row, "serves": self.runner.serves}))
        self.holds_lock = bool(self.schedule.connection.execute(LOCK, (self.lock_key,)).fetchone()[0])

    def lose_lock(self) -> None:
        if self.holds_lock:
            self.schedule.connection.execute(UNLOCK, (self.lock_key,))
            self.holds_lock = False
            self.lost += 1


class Schedule:
    """Everything of one seed."""

    def __init__(self, settings, connection, seed: int, chances: Chances | None = None) -> None:
        self.connection = connection
        self.stage = stage = Stage(seed, chances or Chances())
        self.world = World(stage)
        self.bell = SimulatedBell(stage)
        self.database = SimulatedDatabase(connection, stage, self.world, self.bell)
        self.infra = simulated_infra(settings, self.database, self.bell, self.world)
        self.workers: list[SimulatedWorker] = []
        self.acknowledged: dict[str, str] = {}  # job id by idempotency key, as the clients were told
        self.subjects: list[str] = []
        self.clients = 0
        self.cast = 0
        self.births: list[float] = []

    # --- the play

    def play(self) -> None:
        """Play to the end. Raises Stuck when it does not come to rest."""
        stage = self.stage
        stage.on_death = self.mourn
        for _ in range(WORKERS):
            self.raise_worker()
        for number in range(2):
            stage.cast(f"reaper-{number}", self.reap)
        stage.cast("relay", self.relay)
        for number in range(1 + stage.random.randrange(2)):
            self.clients += 1
            stage.cast(f"client-{number}", self.ask)
        try:
            self.turns()
        finally:
            stage.end()
            for worker in self.workers:
                worker.lose_lock()

    def turns(self) -> None:
        stage = self.stage
        for turn in range(MOST_TURNS):
            was_out = stage.now < stage.outage_until
            stage.turn()
            if stage.now < stage.outage_until and not was_out:
                for worker in self.workers:
                    worker.lose_lock()
            for worker in self.workers:
                worker.live()
            while self.births and self.births[0] <= stage.now:
                self.births.pop(0)
                self.raise_worker()
            if stage.now > STORM_SECONDS:
                stage.chances = CALM
            if turn % 12 == 0 and not self.clients and self.quiet():
                return
        raise Stuck(f"seed {stage.seed}: {self.left()}")

    def raise_worker(self) -> None:
        self.cast += 1
        self.workers.append(SimulatedWorker(self, self.cast))

    def mourn(self, actor) -> None:
        """The kernel closes a dead worker's session; the supervisor starts another soon."""
        for worker in self.workers:
            if worker.actor is actor:
                worker.lose_lock()
                self.births.append(self.stage.now + self.stage.random.uniform(0.5, 3.0))
                self.births.sort()

    def quiet(self) -> bool:
        return not self.rows("SELECT FROM jobs WHERE status NOT IN ('succeeded', 'failed', 'cancelled') LIMIT 1")

    def left(self) -> list[dict]:
        return self.rows(
            "SELECT id, kind, status, ready, parked, run_at, worker, leased_until, simulation.now() AS now,"
            " job_waiting_for(jobs) AS why FROM jobs WHERE status NOT IN ('succeeded', 'failed', 'cancelled')"
        )

    def rows(self, query: str, params=None) -> list[dict]:
        """Look, without the stage knowing."""
        tx = self.database._tx()
        return tx.rows(query, params)

    # --- the actors

    def reap(self, _actor) -> None:
        reaper = Reaper(self.database, self.infra.settings, clock=lambda: self.stage.now)
        while True:
            try:
                reaper.run_once()
            except Unavailable:
                self.stage.tell("cannot look")
            self.stage.pause(0.5 if reaper.hurried else 3.0)

    def relay(self, _actor) -> None:
        relay = Relay(self.database, self.bell)
        while True:
            try:
                relay.run_once()
            except Unavailable:
                self.stage.tell("cannot look")
            self.stage.pause(2.0)

    def ask(self, actor) -> None:
        chance = self.stage.random
        try:
            self.found(actor.name)
            for number in range(chance.randrange(1, 6)):
                self.stage.pause(chance.choice([0.0, 0.1, 1.0, 5.0]))
                self.insist(f"{actor.name}/{number}", self.anything())
        finally:
            self.clients -= 1

    def insist(self, key: str, ask) -> None:
        """Ask with an idempotency key until there is an answer, as a client does."""
        while True:
            try:
                with self.database.transaction() as tx:
                    # The stage may have given others the turn before: what is asked is decided here.
                    named = idempotency.IdempotencyKey("own", "POST /simulated", f"{self.stage.seed}/{key}", b"same")
                    kept = idempotency.reserve(tx, named)
                    if kept is None:
                        body = {"job": ask(tx)}
                        idempotency.store_answer(tx, named, idempotency.StoredAnswer(202, {}, body))
                    else:
                        body = kept.body
            except Unavailable:
                self.stage.pause(0.5)
                continue
            except (JobConflict, JobNotFound):
                return
            if body["job"] is not None:
                self.acknowledged[key] = body["job"]
            return

    def found(self, name: str) -> None:
        """Create a subject, as a client creates a project."""
        subject = f"proj_{self.stage.seed:012x}{int(name[-1]):04x}"

        def create(tx) -> str:
            tx.execute("INSERT INTO simulation.subjects (id, state) VALUES (%s, 'building')", (subject,))
            return enqueue(tx, trial.Build(subject)).id

        self.insist(f"{name}/create", create)
        self.subjects.append(subject)

    def anything(self):
        """Choose what is asked next, and of whom."""
        chance = self.stage.random
        subject = chance.choice(self.subjects)
        asked = chance.choice(["change", "change", "mend", "sweep", "fleet", "cancel", "cancel", "retry", "end"])
        place = chance.random()

        def ask(tx) -> str | None:
            if asked in ("cancel", "retry"):
                return self.command(tx, asked, place)
            if tx.rows("SELECT FROM jobs WHERE project_id = %s AND kind = 'trial.sim_end' LIMIT 1", (subject,)):
                return None
            arguments = {
                "change": trial.Change,
                "mend": trial.Mend,
                "sweep": trial.Sweep,
                "end": trial.End,
            }.get(asked)
            if asked == "end":
                tx.execute("UPDATE simulation.subjects SET state = 'ending' WHERE id = %s", (subject,))
            made = trial.Fleet(tuple(self.subjects)) if arguments is None else arguments(subject)
            return enqueue(tx, made).id

        return ask

    def command(self, tx, asked: str, place: float) -> str | None:
        jobs = tx.rows("SELECT id FROM jobs ORDER BY seq")
        if not jobs:
            return None
        job_id = jobs[int(place * len(jobs))]["id"]
        if asked == "cancel":
            return cancel(tx, job_id, by="a client").id
        return retry(tx, job_id).id
