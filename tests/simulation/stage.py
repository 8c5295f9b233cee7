"""The stage: actors take turns, one at a time, and a seed decides whose turn it is and what befalls them."""

from __future__ import annotations

import _thread
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

from infra.errors import Unavailable


class Killed(BaseException):
    """kill -9: no handler of the engine's may catch it."""


class Stuck(AssertionError):
    """The schedule did not come to rest."""


@dataclass
class Chances:
    """How probable each fault is at each place where it can happen."""

    kill: float = 0.01
    freeze: float = 0.01
    refuse: float = 0.01  # the transaction never began
    roll_back: float = 0.01  # the connection died before the commit
    forget: float = 0.01  # the connection died after the commit: its outcome is unknown
    lose_bell: float = 0.3
    double_bell: float = 0.1
    jump: float = 0.003
    outage: float = 0.001


CALM = Chances(*[0.0] * 9)


class Actor:
    """A thread that only runs in its turn. `role` says whether it may be killed and frozen."""

    def __init__(self, stage: Stage, name: str, act, *, mortal: bool) -> None:
        self.stage = stage
        self.name = name
        self.mortal = mortal
        self.wakes_at = 0.0
        self.frozen_until = 0.0
        self.go = _thread.allocate_lock()
        self.go.acquire()
        self.ended = False
        self.killed = False
        self.error: BaseException | None = None
        self._act = act
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        self.go.acquire()
        try:
            if not self.killed:
                self._act(self)
        except Killed:
            self.killed = True
        except BaseException as error:  # the stage raises it where the test sees it
            self.error = error
        self.ended = True
        self.stage.back.release()


@dataclass
class Stage:
    """Whose turn it is, what time it is, and what goes wrong. Everything comes from the seed.

    now    the monotonic clock that all processes of a machine share
    wall   what the database's clock says: it may jump
    """

    seed: int
    chances: Chances = field(default_factory=Chances)
    now: float = 0.0
    offset: float = 1_000_000_000.0
    outage_until: float = 0.0

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.actors: list[Actor] = []
        self.back = _thread.allocate_lock()
        self.back.acquire()
        self.playing: Actor | None = None
        self.inside = 0  # open transactions: nobody else may speak on the one connection meanwhile
        self.told: list[str] = []
        self.on_death = lambda _actor: None

    @property
    def wall(self) -> float:
        return self.now + self.offset

    def tell(self, text: str) -> None:
        self.told.append(f"{self.now:9.3f} {self.playing.name if self.playing else '-':>12} {text}")

    def cast(self, name: str, act, *, mortal: bool = False) -> Actor:
        actor = Actor(self, name, act, mortal=mortal)
        self.actors.append(actor)
        return actor

    # --- called by the director

    def turn(self) -> None:
        """Have one actor play until their next pause; time passes."""
        self.now += self.random.expovariate(1 / 0.02)
        if self._happens(self.chances.jump):
            jump = self.random.choice([20.0, 90.0, 3600.0, -5.0, -60.0])
            self.offset += jump
            self.tell(f"the database's clock jumps by {jump} s")
        if self._happens(self.chances.outage):
            self.outage_until = self.now + self.random.uniform(0.1, 8.0)
            self.tell("Postgres is away")
        able = [actor for actor in self.actors if max(actor.wakes_at, actor.frozen_until) <= self.now]
        if not able:
            self.now = min(max(actor.wakes_at, actor.frozen_until) for actor in self.actors)
            return
        actor = self.random.choice(able)
        self.playing = actor
        actor.go.release()
        self.back.acquire()
        self.playing = None
        if actor.ended:
            self.actors.remove(actor)
            if actor.error is not None:
                raise actor.error
            if actor.killed:
                self.on_death(actor)

    def end(self) -> None:
        """Have every thread end."""
        for actor in list(self.actors):
            actor.killed = True
            actor.wakes_at = 0.0
            while not actor.ended:
                self.playing = actor
                actor.go.release()
                self.back.acquire()
        self.actors.clear()

    # --- called by actors

    def pause(self, seconds: float = 0.0) -> None:
        """Give the turn away, for so long at least."""
        actor = self.playing
        if actor is None or self.inside:
            return
        actor.wakes_at = self.now + seconds
        self.back.release()
        actor.go.acquire()
        if actor.killed:
            raise Killed

    def point(self, place: str) -> None:
        """A place where others may come in between, or death, or a long sleep."""
        actor = self.playing
        if actor is None:
            return
        if actor.mortal and self._happens(self.chances.kill):
            self.tell(f"is killed at {place}")
            actor.killed = True
            raise Killed
        if actor.mortal and not self.inside and self._happens(self.chances.freeze):
            actor.frozen_until = self.now + self.random.uniform(1.0, 60.0)
            self.tell(f"freezes at {place}")
        self.pause()

    @contextmanager
    def transaction(self, place: str):
        """Around a transaction: it may be refused, rolled back, or committed without anybody knowing."""
        self.point(f"before {place}")
        if self.now < self.outage_until or self._happens(self.chances.refuse):
            raise Unavailable("Postgres is away (simulated)")
        fails = self._happens(self.chances.roll_back)
        self.inside += 1
        try:
            yield lambda: self._cut(place) if fails else None
        finally:
            self.inside -= 1
        if self._happens(self.chances.forget):
            self.tell(f"never learns that {place} committed")
            raise Unavailable("the connection was lost after the commit (simulated)")
        self.point(f"after {place}")

    def _cut(self, place: str) -> None:
        self.tell(f"loses the connection before {place} commits")
        raise Unavailable("the connection was lost (simulated)")

    def _happens(self, chance: float) -> bool:
        return chance > 0 and self.random.random() < chance
