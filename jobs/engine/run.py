"""What a step is given. An outside step: the world, the ledger, and safe points. An atomic one: nothing but its job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from jobs.engine.table import SQL

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from config.settings import Settings
    from infra.composition import Infra
    from infra.postgres.database import Transaction
    from jobs.engine.ledger import Ledger

A = TypeVar("A")


@dataclass
class AtomicRun(Generic[A]):
    """One attempt at one job, as its atomic steps see it beside their transaction: they can reach nothing else.

    args      the kind's arguments
    kind      the kind's name
    settings  the installation's settings, as they were read when this process began
    result    what the job reports when it succeeds; the steps so far have written into it
    """

    args: A
    job_id: str
    kind: str
    settings: Settings
    result: dict[str, Any]
    _spawn: Callable[[Transaction, Any], str]

    def spawn(self, tx: Transaction, arguments: Any) -> str:
        """Enqueue a child in the step's transaction; return its id. A later step that joins waits for it."""
        return self._spawn(tx, arguments)


@dataclass
class Run(Generic[A]):
    """One attempt at one job, as its outside steps see it.

    args      the kind's arguments
    kind      the kind's name
    infra     the world: databases, instances, vault, files
    ledger    where an outside thing is written down before it is made
    session   application_name for every Postgres session this run opens: launchdb:<job>:<fence>
    result    what the job reports when it succeeds; a new attempt begins with what the finished steps have written
    """

    args: A
    job_id: str
    kind: str
    fence: int
    infra: Infra
    ledger: Ledger
    result: dict[str, Any]
    _check: Callable[[], None]
    _log: Callable[[str], None]
    _progress: Callable[[int, int, str], None]
    _transaction: Callable[[], AbstractContextManager[Transaction]]

    @property
    def session(self) -> str:
        """Name of every Postgres session opened for this attempt; the reaper ends those of older fences."""
        return f"launchdb:{self.job_id}:{self.fence}"

    def children(self) -> list[dict[str, Any]]:
        """Return the children, oldest first: id, status, args, error, result."""
        with self.infra.database.autocommit() as tx:
            return tx.rows(SQL.children, {"id": self.job_id})

    def check(self) -> None:
        """Pass a safe point; called before every outside call.

        Raises LeaseLost, Cancelled or HandedBack.
        """
        self._check()

    def log(self, message: str) -> None:
        """Write a line into the job's events. Scrubbed; constant wording, no secrets."""
        self._log(message)

    def progress(self, done: int, total: int, message: str = "") -> None:
        """Report real work: bytes of a dump, databases of a fleet."""
        self._progress(done, total, message)

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Open a transaction on the platform database that only commits while this run holds its lease."""
        return self._transaction()
