"""The ledger: a row for every outside thing, written before the thing is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from infra.postgres.sql import statements
from jobs.engine.errors import LeaseLost

if TYPE_CHECKING:
    from infra.postgres.database import Database

SQL = statements(__file__)
State = Literal["intended", "present", "releasing", "gone"]


class Ledger:
    """The ledger as one run writes it; every write names the job's fence and raises LeaseLost when it is old."""

    def __init__(self, database: Database, *, job_id: str, project_id: str, fence: int) -> None:
        self._database = database
        self._held = {"job": job_id, "project": project_id, "fence": fence}
        self.step = ""

    def mark_intended(self, kind: str, *names: str) -> None:
        """Write down that these things are about to be made."""
        self._write("intended", kind, names)

    def mark_present(self, kind: str, *names: str) -> None:
        """Write down that these things are there."""
        self._write("present", kind, names)

    def mark_releasing(self, kind: str, *names: str) -> None:
        """Write down that these things are about to be removed."""
        self._write("releasing", kind, names)

    def mark_gone(self, kind: str, *names: str) -> None:
        """Write down that these things are no more."""
        self._write("gone", kind, names)

    def delete_gone(self, kind: str, *names: str) -> None:
        """Drop the rows of things that are no more and of which nobody asks whether they ever were."""
        with self._database.autocommit() as tx:
            tx.execute(SQL.forget, {**self._held, "kind": kind, "names": list(names)})

    def _write(self, state: State, kind: str, names: tuple[str, ...]) -> None:
        with self._database.autocommit() as tx:
            written = tx.execute(
                SQL.write, {**self._held, "step": self.step, "kind": kind, "names": list(names), "state": state}
            )
        if written != len(names):
            raise LeaseLost(self._held["job"])
