"""What a step is given: its arguments, the world, the ledger, and ways to report and to stop at a safe point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from jobs.engine.table import SQL

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from infra.composition import Infra
    from infra.postgres.database import Transaction
    from jobs.engine.ledger import Ledger

A = TypeVar("A")


@dataclass
class Run(Generic[A]):
    """One attempt at one job, as its steps see it.

    args      the kind's arguments
    infra     the world: databases, instances, vault, files
    ledger    where an outside thing is written down before it is made
    session   application_name for every Postgres session this run opens: launchdb:<job>:<fence>
    result    what the job reports when it succeeds
    """

    args: A
    job_id: str
    fence: int
    infra: Infra
    ledger: Ledger
    result: dict[str, Any]
    _check: Callable[[], None]
    _log: Callable[[str], None]
    _progress: Callable[[int, int, str], None]
    _transaction: Callable[[], AbstractContextManager[Transaction]]
    _spawn: Callable[[Transaction, Any], str]

    @property
    def session(self) -> str:
        """Name of every Postgres session opened for this attempt; the reaper ends those of older fences."""
        return f"launchdb:{self.job_id}:{self.fence}"

    def spawn(self, tx: Transaction, arguments: Any) -> str:
        """Enqueue a child in an atomic step's transaction; return its id. A later step that joins waits for it."""
        return self._spawn(tx, arguments)

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
