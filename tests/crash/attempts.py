"""One attempt at a job in a process that a crash point may end: what dies is a process, and nothing runs after it in it."""

from __future__ import annotations

from typing import Self

import jobs.kinds  # noqa: F401  every kind registers itself
from config.settings import Settings, load
from infra.composition import Infra
from jobs.engine import kind as kinds
from jobs.engine.lease import Leases
from jobs.engine.runner import Runner
from tests.fixtures.forked import environment_of, processes, settle


def one_attempt(environment: dict[str, str]) -> None:
    """Claim and run one job: no beats, no bells, nothing to wait for."""
    settle(environment)
    infra = Infra.open(load())
    leases = Leases(infra.database, infra.settings, worker="doomed")
    Runner(infra, leases, worker="doomed", queues=["control", "bulk"], serves=sorted(kinds.kinds())).run_one()
    infra.close()


class Attempt:
    """An attempt that runs, begun when this is made; as a context it waits for its end."""

    def __init__(self, settings: Settings, *, crash: str = "", **more: str) -> None:
        told = {"LAUNCHDB_PROJECT_MIGRATIONS": settings.project_migrations, "LAUNCHDB_CRASH": crash, **more}
        environment = environment_of(settings, **told)
        self._process = processes.Process(target=one_attempt, args=(environment,))
        self._process.start()
        assert self._process.pid
        self.pid = self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.is_alive()

    def kill(self) -> None:
        """End it as kill -9 does."""
        self._process.kill()

    def wait(self) -> int:
        """Return its exit status, negative for a signal, once it has ended."""
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._process.join()


def attempt_in_a_process(settings: Settings, *, crash: str = "", **more: str) -> int:
    """Run an attempt that dies at the crash point; return its exit status."""
    return Attempt(settings, crash=crash, **more).wait()
