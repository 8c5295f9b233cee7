"""The job table: one row type, and the fenced writes of whoever holds a job."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from infra.postgres.sql import statements
from jobs.engine.errors import LeaseLost

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from infra.postgres.database import Transaction

SQL = statements(__file__)
FINAL = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True)
class Job:
    """A row of the table jobs, column by column."""

    id: str
    seq: int
    kind: str
    version: int
    queue: str
    lane: str | None
    project_id: str | None
    owner_id: str | None
    args: dict[str, Any]
    status: str
    ready: bool
    priority: int
    preempts: bool
    run_at: datetime
    claim_after: datetime
    attempt: int
    max_attempts: int
    crashes: int
    fence: int
    worker: str | None
    leased_until: datetime | None
    undoing: bool
    cancel_requested_at: datetime | None
    cancel_reason: str | None
    past_return: bool
    progress_step: str | None
    progress_done: int
    progress_total: int
    progress_message: str | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    parent_id: str | None
    parked: bool
    max_children: int | None
    created_by: str
    request_id: str | None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def final(self) -> bool:
        """Whether it has come to rest for good (but for an explicit retry)."""
        return self.status in FINAL

    @property
    def superseded(self) -> bool:
        """Whether a deletion made it pointless: it is undone, and says nothing of it in the catalogue."""
        return (self.cancel_reason or "").startswith("superseded by ")


@dataclass(frozen=True)
class Taken(Job):
    """A job as its claim hands it out; begun: the step that the claim has begun with it."""

    begun: str | None


def find(tx: Transaction, job_id: str) -> Job | None:
    """Return the job, or None."""
    return tx.one(Job, SQL.find, {"id": job_id})


def steps(tx: Transaction, job_id: str) -> list[dict[str, Any]]:
    """Return the pinned steps in order; empty before the first claim."""
    return tx.rows(SQL.steps, {"id": job_id})


def claim(tx: Transaction, *, worker: str, queues: list[str], served: list[str], lease_seconds: float) -> Taken | None:
    """Take the best job that this worker may run, or None."""
    return Claims(worker, queues, served, lease_seconds).take(tx)


def array_literal(texts: list[str]) -> str:
    """Return the texts as one literal of type text[]."""
    return "{" + ",".join(json.dumps(text, ensure_ascii=False) for text in texts) + "}"


@dataclass(frozen=True)
class Claims:
    """Who asks for jobs: a worker, its queues in order, what it serves (kind@version), and for how long it leases."""

    worker: str
    queues: list[str]
    served: list[str]
    lease_seconds: float

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The parameters of every statement that takes a job; lists as Postgres writes them, made once."""
        return {
            "worker": self.worker,
            "queues": array_literal(self.queues),
            "served": array_literal(self.served),
            "lease": self.lease_seconds,
        }

    def take(self, tx: Transaction) -> Taken | None:
        """Take the best job that this worker may run, or None."""
        return tx.one(Taken, SQL.claim, self.parameters)


@dataclass(frozen=True)
class Ended:
    """A step's checkpoint."""

    step: str
    status: str
    message: str | None = None
    done: int | None = None
    total: int | None = None


@dataclass(frozen=True)
class Begins:
    """The step that comes next; no_return: from here on the job cannot be cancelled."""

    step: str
    no_return: bool = False


@dataclass(frozen=True)
class Release:
    """The state a running job is let go into; refund: as if this attempt had never been."""

    status: str
    delay_seconds: float = 0.0
    refund: bool = False
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


@dataclass(frozen=True)
class Holder:
    """Names a job together with the fence under which it is held; every write goes through it.

    Each method raises LeaseLost when the row is held under another fence by now.
    """

    id: str
    fence: int

    @property
    def _key(self) -> dict[str, Any]:
        return {"id": self.id, "fence": self.fence}

    def _status(self, value: str | None) -> str:
        if value is None:
            raise LeaseLost(self.id)
        return value

    def look(self, tx: Transaction) -> str:
        """Return the status: running, or cancelling when somebody wants it stopped."""
        return self._status(tx.value(SQL.look, self._key))

    def advance(self, tx: Transaction, ended: Ended | None, begins: Begins | None) -> bool:
        """Write the checkpoint between two steps; say whether the job may go on (False: somebody wants it stopped)."""
        row = tx.row(
            SQL.advance,
            {
                **self._key,
                "step": ended and ended.step,
                "status": ended and ended.status,
                "message": ended and ended.message,
                "done": ended and ended.done,
                "total": ended and ended.total,
                "next": begins and begins.step,
                "no_return": begins is not None and begins.no_return,
            },
        )
        if row is None:
            raise LeaseLost(self.id)
        return bool(row["status"] == "running" or row["past_return"])

    def pin_steps(self, tx: Transaction, names: Sequence[str], former: Mapping[str, str]) -> None:
        """Ensure that the job has the steps that its kind has today, where a version before began it.

        names   of the steps, in their order
        former  today's name of a step by the one that it had
        """
        place = {name: position for position, name in enumerate(names, 1)}
        called = {**former, **{name: name for name in names}}
        pairs = [(old, new, place[new]) for old, new in called.items() if new in place]
        formers, renamed, positions = (list(column) for column in zip(*pairs, strict=True))
        tx.execute(SQL.rename_steps, {**self._key, "formers": formers, "names": renamed, "positions": positions})
        tx.execute(SQL.add_steps, {**self._key, "names": list(place), "positions": list(place.values())})

    def turn_back(self, tx: Transaction, error: dict[str, Any] | None) -> None:
        """Begin the way back."""
        self._status(tx.value(SQL.turn_back, {**self._key, "error": None if error is None else Jsonb(error)}))

    def progress(self, tx: Transaction, done: int, total: int, message: str) -> None:
        """Report real work."""
        self._status(tx.value(SQL.progress, {**self._key, "done": done, "total": total, "message": message}))

    def keep_result(self, tx: Transaction, result: dict[str, Any]) -> None:
        """Write down what the steps so far report."""
        self._status(tx.value(SQL.keep_result, {**self._key, "result": Jsonb(result)}))

    def tell(self, tx: Transaction, message: str) -> None:
        """Add a line to the job's events."""
        self._status(tx.value(SQL.tell, {**self._key, "message": message}))

    def release(self, tx: Transaction, into: Release, ended: Ended | None = None) -> None:
        """Let the job go, with the last step's checkpoint; ring for whom its lane may run next."""
        rows = tx.rows(
            SQL.release,
            {
                **self._key,
                "status": into.status,
                "delay": into.delay_seconds,
                "refund": into.refund,
                "result": None if into.result is None else Jsonb(into.result),
                "error": None if into.error is None else Jsonb(into.error),
                "step": ended and ended.step,
                "step_status": ended and ended.status,
                "message": ended and ended.message,
            },
        )
        if not rows:
            raise LeaseLost(self.id)
        for row in rows:
            if row["next_id"] is not None and row["next_id"] != self.id:
                tx.ring(row["next_queue"], row["next_id"])

    def finish(self, tx: Transaction, result: dict[str, Any], ended: Ended | None, claims: Claims) -> Taken | None:
        """End the job well and take the next in the same transaction; return that one. Ring for what else may run."""
        row = tx.row(
            SQL.finish, {**self._key, **claims.parameters, "result": Jsonb(result), "step": ended and ended.step}
        )
        if row is None:
            raise LeaseLost(self.id)
        rings = row.pop("rings") or []
        for queue, job_id in rings:
            if job_id != row["id"]:
                tx.ring(queue, job_id)
        return None if row["id"] is None else Taken(**row)

    def park(self, tx: Transaction) -> bool:
        """Let a parent rest until its children have; say whether any is open, so that it does."""
        parked = tx.value(SQL.park, self._key)
        if parked is None:
            raise LeaseLost(self.id)
        return bool(parked)
