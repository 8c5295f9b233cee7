"""Which sessions have to end, and why: decided from what a look has seen, by functions that touch nothing."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from infra.postgres.owner_sql import NAME as SQL_NAME
from infra.postgres.watch.snapshot import AUTOVACUUM, MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from infra.postgres.watch.snapshot import Backend, Snapshot, WatchLimits

Cause = Literal[
    "statement", "idle_transaction", "locks", "notify_queue", "autovacuum", "connections", "memory", "quota", "cpu"
]
Statement = tuple[int, "datetime", "datetime | None"]
# Phases of an ANALYZE in which it calls what a tenant has put into an index or into statistics, by Postgres's numbers.
TENANT_PHASES = frozenset({3, 4})
SLEEPS = "PgSleep"
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
SUMMARIZES = "autovacuum: BRIN summarize"
# So long is remembered whose functions have held up a worker of autovacuum: the next time it is ended at once.
OFFENCE_SECONDS = 600.0
# Together, in that time, functions of a project have so many times what one worker may run them for at a stretch.
STRETCHES = 4
FORGOTTEN_SECONDS = 0.01
# So many tables one worker is let off with a cancelled one; then it has to go with all that it still had to do.
WORKER_CANCELS = 3
# Whoever has done something within so long may have written, where there is nobody who writes now.
LATELY_SECONDS = 5.0
# Connections count as short when so much of them is taken.
SHORT = 0.75


@dataclass(frozen=True)
class Verdict:
    """A session that has to end, or to step back. gently: its statement is cancelled; it ends if that is no help."""

    cause: Cause
    backend: Backend
    reason: str
    gently: bool = False

    @property
    def outcome(self) -> str:
        """Return what becomes of the session, as the audit says it."""
        return "lowered" if self.cause == "cpu" else "ended"

    @property
    def did(self) -> str:
        """Return what was done to it."""
        return "cancelled" if self.gently else self.outcome


@dataclass(frozen=True)
class History:
    """What earlier looks have left, by the clock of the watchdog.

    cancelled  statements that were asked to stop
    in_code    since when a worker of autovacuum has been seen to run functions of a tenant, by its statement
    offences   when functions of a project have last held up such a worker
    spent      seconds that workers have run functions of a project in the last while; at: when the last look was
    """

    cancelled: frozenset[Statement] = frozenset()
    in_code: Mapping[Statement, float] = field(default_factory=dict)
    offences: Mapping[str, float] = field(default_factory=dict)
    spent: Mapping[str, float] = field(default_factory=dict)
    at: float | None = None

    def with_look(self, seen: Snapshot, now: float) -> History:
        """Return what is known once a look has been added: what is gone is forgotten."""
        alive = {backend.identity for backend in seen.backends}
        held = [backend for backend in seen.backends if runs_tenant_code(backend)]
        code = [_statement(backend) for backend in held]
        return History(
            cancelled=frozenset(each for each in self.cancelled if each[:2] in alive),
            in_code={each: self.in_code.get(each, now) for each in code},
            offences={project: at for project, at in self.offences.items() if now - at < OFFENCE_SECONDS},
            spent=self._spent(held, now),
            at=now,
        )

    def _spent(self, held: list[Backend], now: float) -> Mapping[str, float]:
        seconds = 0.0 if self.at is None else max(0.0, now - self.at)
        kept = math.exp(-seconds / OFFENCE_SECONDS)
        spent = defaultdict(float, {project: before * kept for project, before in self.spent.items()})
        for backend in held:
            spent[backend.project] += seconds
        return {project: value for project, value in spent.items() if value > FORGOTTEN_SECONDS}

    def with_endings(self, verdicts: Iterable[Verdict], now: float) -> History:
        """Return what is known once these have been carried out."""
        done = list(verdicts)
        return replace(
            self,
            cancelled=self.cancelled | {_statement(each.backend) for each in done if each.gently},
            offences={**self.offences, **{each.backend.project: now for each in done if each.cause == "autovacuum"}},
        )


def judge(seen: Snapshot, limits: WatchLimits, history: History, now: float) -> list[Verdict]:
    """Return who has to end, each session once, for the gravest of its causes."""
    found: dict[tuple[int, datetime], Verdict] = {}
    causes = (
        judge_locks(seen, limits),
        judge_memory(seen, limits),
        judge_queue(seen, limits),
        judge_quota(seen),
        judge_statements(seen, limits),
        judge_idle_transactions(seen, limits),
        judge_autovacuum(seen, limits, history, now),
        judge_connections(seen, limits),
    )
    for verdict in (each for verdicts in causes for each in verdicts):
        found.setdefault(verdict.backend.identity, _firmly(verdict, history))
    return list(found.values())


def _firmly(verdict: Verdict, history: History) -> Verdict:
    """Return the verdict on a statement that has caught its cancellation: its session ends, which nothing catches."""
    backend = verdict.backend
    times = sum(each[:2] == backend.identity for each in history.cancelled)
    stubborn = _statement(backend) in history.cancelled or (backend.type == AUTOVACUUM and times >= WORKER_CANCELS)
    if not (verdict.gently and stubborn):
        return verdict
    return Verdict(verdict.cause, backend, verdict.reason)


def judge_statements(seen: Snapshot, limits: WatchLimits) -> Iterator[Verdict]:
    """Find statements that go on beyond what their project may, whatever their session has set."""
    for backend in filter(lambda each: each.is_client and each.runs, seen.backends):
        known = seen.databases.get(backend.database)
        most = limits.statement if known is None or known.statement is None else known.statement
        if backend.application == SQL_NAME:
            most = max(most, limits.sql)
        if backend.statement > most + limits.grace:
            yield Verdict("statement", backend, f"a statement ran longer than {most:g} s", gently=True)


def judge_idle_transactions(seen: Snapshot, limits: WatchLimits) -> Iterator[Verdict]:
    """Find transactions in which nothing happens: they hold locks, and rows that could be removed."""
    for backend in filter(lambda each: each.is_client and each.is_idle_in_transaction, seen.backends):
        known = seen.databases.get(backend.database)
        most = limits.idle if known is None or known.idle is None else known.idle
        if backend.idle > most + limits.grace:
            yield Verdict("idle_transaction", backend, f"a transaction was idle for longer than {most:g} s")


def judge_locks(seen: Snapshot, limits: WatchLimits) -> Iterator[Verdict]:
    """Find the sessions by which a project, or all of an owner's, hold more of the lock tables than their share."""
    clients = [backend for backend in seen.backends if backend.is_client]
    tables: tuple[tuple[str, int, Callable[[Backend], int]], ...] = (
        ("locks", seen.locks, lambda each: each.locks),
        ("predicate locks", seen.predicates, lambda each: each.predicates),
    )
    for name, size, held in tables:
        shares: tuple[tuple[str, float, Callable[[Backend], str]], ...] = (
            ("a project", limits.locks, lambda each: each.project),
            ("an owner", max(limits.owner, limits.locks), lambda each: seen.owner(each.project)),
        )
        for whose, share, of in shares:
            most = int(size * share)
            for backend in _beyond(clients, of, held, most, order=lambda each: (-held(each), 0.0)):  # noqa: B023 - used at once
                said = f"{held(backend)} {name} of the {most} that {whose} may hold were a session's"
                yield Verdict("locks", backend, said)


def judge_connections(seen: Snapshot, limits: WatchLimits) -> Iterator[Verdict]:
    """Find the sessions beyond an owner's share, while connections are short and there are others: idle ones first."""
    clients = [backend for backend in seen.backends if backend.is_client]
    if len(clients) < seen.connections * SHORT or len(set(seen.owners.values())) < 2:
        return
    most = int(seen.connections * limits.owner)
    said = f"all projects of one owner had more than {most} connections while they were short"

    def order(each: Backend) -> tuple[float, float]:
        return float(each.state != "idle"), -each.started.timestamp()

    for backend in _beyond(clients, lambda each: seen.owner(each.project), lambda _each: 1, most, order=order):
        yield Verdict("connections", backend, said)


def judge_memory(seen: Snapshot, limits: WatchLimits) -> Iterator[Verdict]:
    """Find the sessions that have more memory of their own than one may, and the largest of who has too many."""
    clients = [backend for backend in seen.backends if backend.is_client]
    for backend in clients:
        if backend.memory > limits.memory:
            said = f"a session had {backend.memory // MIB} MB of memory; one may have {limits.memory // MIB}"
            yield Verdict("memory", backend, said)
    said = f"all sessions of one owner had more than {limits.owner_memory // MIB} MB of memory"
    for backend in _beyond(
        *(clients, lambda each: seen.owner(each.project), lambda each: each.memory, limits.owner_memory),
        order=lambda each: (-each.memory, 0.0),
    ):
        yield Verdict("memory", backend, said)


def judge_queue(seen: Snapshot, limits: WatchLimits) -> Iterator[Verdict]:
    """Find who holds up NOTIFY's queue: the longest that may not have read it, of those whose database fills it first.

    Nobody is told who listens. A listener reads on when its transaction ends, and when its client takes what it was
    sent; so one a look is ended, until the queue is shorter.
    """
    if seen.queue <= limits.queue:
        return
    held = [each for each in seen.backends if each.is_client and _holds_up(each) > limits.holding]
    held.sort(key=lambda each: (each.database not in seen.fillers, -_holds_up(each)))
    for backend in held[:1]:
        said = f"the queue of NOTIFY was {seen.queue:.1%} full, and a session had not read it for a while"
        yield Verdict("notify_queue", backend, said)


def _holds_up(backend: Backend) -> float:
    """Return for how many seconds a session, if it listens, has not read."""
    if backend.transaction is not None:
        return backend.transaction
    return backend.idle if backend.wait == "ClientWrite" else 0.0


def judge_quota(seen: Snapshot) -> Iterator[Verdict]:
    """Find who writes in a database that is to be read only and grows all the same; who deletes makes none grow."""
    for oid in seen.growing:
        theirs = [each for each in seen.backends if each.is_client and each.database == oid and not each.rewrites]
        busy = [each for each in theirs if each.writes or each.runs]
        for backend in busy or [each for each in theirs if each.idle < LATELY_SECONDS]:
            yield Verdict("quota", backend, "the database is larger than it may be, and was written to all the same")


def judge_autovacuum(seen: Snapshot, limits: WatchLimits, history: History, now: float) -> Iterator[Verdict]:
    """Find workers of autovacuum that a tenant's functions hold up. One at least is left to all others at any time."""
    held = [backend for backend in seen.backends if runs_tenant_code(backend)]
    held.sort(key=lambda each: history.in_code.get(_statement(each), now))
    spare = max(1, seen.workers - 1)
    for place, backend in enumerate(held):
        since = now - history.in_code.get(_statement(backend), now)
        again = backend.project in history.offences and backend.wait == SLEEPS
        often = history.spent.get(backend.project, 0.0) > limits.autovacuum * STRETCHES
        if since > limits.autovacuum or again or often or len(held) - place > spare:
            at_what = _CONTROLS.sub(" ", backend.activity[: len(SUMMARIZES) + 100]).removeprefix("autovacuum: ")
            said = f"a worker of autovacuum was held up by functions that indexes or statistics call: {at_what}"
            yield Verdict("autovacuum", backend, said, gently=True)


def runs_tenant_code(backend: Backend) -> bool:
    """Return whether a worker of autovacuum runs what a tenant has written."""
    if backend.type != AUTOVACUUM:
        return False
    return backend.wait == SLEEPS or backend.phase in TENANT_PHASES or backend.activity.startswith(SUMMARIZES)


def _beyond(
    backends: list[Backend],
    of: Callable[[Backend], str],
    held: Callable[[Backend], int],
    most: int,
    *,
    order: Callable[[Backend], tuple[float, float]],
) -> Iterator[Backend]:
    """Return, of each who holds more than `most`, as many sessions in this order as bring them back below."""
    holders: dict[str, list[Backend]] = defaultdict(list)
    for backend in backends:
        holders[of(backend)].append(backend)
    for theirs in holders.values():
        rest = sum(map(held, theirs))
        for backend in sorted(theirs, key=order):
            if rest <= most:
                break
            rest -= held(backend)
            yield backend


def _statement(backend: Backend) -> Statement:
    return (*backend.identity, backend.query)
