"""What the simulated processes share: a database whose clock obeys the stage, a doorbell that loses bells, a world of things."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

from infra.errors import Unavailable
from infra.postgres.database import Transaction, translate_errors
from jobs.engine import reaper

CLOCK = """
CREATE SCHEMA IF NOT EXISTS simulation;
CREATE OR REPLACE FUNCTION simulation.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$ SELECT to_timestamp(current_setting('simulation.wall')::double precision) $$;
CREATE OR REPLACE FUNCTION simulation.clock_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$ SELECT to_timestamp(current_setting('simulation.wall')::double precision) $$;
CREATE TABLE IF NOT EXISTS simulation.subjects (
    id text PRIMARY KEY, state text NOT NULL, built integer NOT NULL DEFAULT 0, tolls integer NOT NULL DEFAULT 0);
-- pg_catalog comes last, so that now() is the stage's.
SET search_path = simulation, public, pg_catalog;
SET synchronous_commit = off;
"""


class World:
    """Outside things. A call of an ended session never arrives; everything that does is remembered."""

    def __init__(self, stage) -> None:
        self.stage = stage
        self.things: dict[str, tuple[str, int]] = {}
        self.ended: dict[str, int] = {}
        self.fences: dict[str, int] = {}
        self.violations: list[str] = []

    def call(self, run, thing: str, *, present: bool) -> None:
        """Make or remove a thing, as the session of an attempt."""
        self.stage.point(f"the call for {thing}")  # checked, and in flight
        if run.fence <= self.ended.get(run.job_id, -1):
            raise Unavailable("the session was ended (simulated)")
        if run.fence < self.fences.get(run.job_id, 0):
            self.violations.append(f"R9: {thing} by fence {run.fence} after {self.fences[run.job_id]} of {run.job_id}")
        self.fences[run.job_id] = run.fence
        if present:
            self.things[thing] = (run.job_id, run.fence)
        else:
            self.things.pop(thing, None)
        self.stage.point(f"the answer for {thing}")

    def end_sessions(self, job_id: str, fence: int) -> None:
        self.ended[job_id] = max(fence, self.ended.get(job_id, -1))


class SimulatedTransaction(Transaction):
    """The real statements, but the world is the simulation's: sessions to be ended are its own."""

    def __init__(self, connection, world: World) -> None:
        super().__init__(connection)
        self._world = world

    def execute(self, query, params=None) -> int:
        if query is reaper.SQL.end_sessions:
            self._world.end_sessions(params["id"], params["fence"])
            return 1
        return super().execute(query, params)


class SimulatedDatabase:
    """One real connection for everybody: transactions take turns, their order is the seed's."""

    def __init__(self, connection, stage, world: World, bell) -> None:
        self._connection = connection
        self._stage = stage
        self._world = world
        self._bell = bell
        self._wall = None

    def _tx(self) -> SimulatedTransaction:
        if self._wall != self._stage.wall:
            self._wall = self._stage.wall
            self._connection.execute("SELECT set_config('simulation.wall', %s, false)", (str(self._wall),))
        return SimulatedTransaction(self._connection, self._world)

    @contextmanager
    def transaction(self):
        with self._stage.transaction("a transaction") as before_commit, translate_errors():
            with self._connection.transaction():
                tx = self._tx()
                yield tx
                before_commit()
            # The bell is rung after the commit, by a process that may be dead by then.
            self._ring(tx)

    @contextmanager
    def autocommit(self):
        with self._stage.transaction("a statement") as before_commit, translate_errors():
            before_commit()
            tx = self._tx()
            yield tx
            self._ring(tx)

    def _ring(self, tx) -> None:
        for queue, job_ids in tx.rings.items():
            self._bell.ring(queue, job_ids)


class SimulatedBell:
    """Loses bells, doubles bells, and can be asked how many wait."""

    def __init__(self, stage) -> None:
        self._stage = stage
        self.bells: dict[str, int] = {"control": 0, "bulk": 0}
        self._listeners: list = []

    def listen(self, actor) -> None:
        """Wake this actor with the next bell."""
        self._listeners.append(actor)

    def ring(self, queue: str, job_ids: list[str]) -> bool:
        for _ in job_ids:
            if self._stage._happens(self._stage.chances.lose_bell):
                continue
            self.bells[queue] += 2 if self._stage._happens(self._stage.chances.double_bell) else 1
            if self._listeners:
                self._listeners.pop(self._stage.random.randrange(len(self._listeners))).wakes_at = self._stage.now
        return True

    def heard(self) -> bool:
        """Take a bell, if there is one."""
        for queue, count in self.bells.items():
            if count:
                self.bells[queue] -= 1
                return True
        return False

    def waiting(self, queue: str) -> int:
        return self.bells[queue]

    def changed(self, job_id: str) -> None:
        """Nobody watches."""


def simulated_infra(settings, database, bell, world):
    """What a run sees of the world."""
    return SimpleNamespace(settings=settings, database=database, doorbell=bell, world=world)
