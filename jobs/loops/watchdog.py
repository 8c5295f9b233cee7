"""The watchdog: whoever goes beyond their share of the server is ended by our own clock, and told so."""

from __future__ import annotations

import logging
import re
import time
from collections import defaultdict, deque
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from catalog import audit, endings
from infra.errors import LockTableFull, Unavailable
from infra.postgres.watch.cpu_share import LOW, CpuShares
from infra.postgres.watch.judge import History, Verdict, judge
from infra.postgres.watch.server_watch import ServerWatch
from infra.postgres.watch.snapshot import WatchLimits
from jobs.engine.enqueue import enqueue
from jobs.kinds.project.warn import WarnOwner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infra.composition import Infra
    from infra.postgres.database import Transaction
    from infra.postgres.watch.snapshot import Backend, Snapshot

log = logging.getLogger(__name__)
OWNERS_SECONDS = 30.0
# Whoever was ended tries again at once: for a while it is looked more often.
HURRIED_FOR_SECONDS, HURRIED_SECONDS = 60.0, 0.25
GUARD_SECONDS = 5.0
# A session that one of our jobs has opened as a project's login bears the job's name.
_OF_A_JOB = re.compile(r"launchdb:(job_[0-9a-f]{32}):\d+")
# What our jobs bound by a clock of their own.
BOUND_BY_JOBS = ("statement", "idle_transaction")


class Watchdog:
    """Several may run: who has been ended by one is no longer there for the next."""

    def __init__(
        self, infra: Infra, limits: WatchLimits | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._infra = infra
        self._limits = limits or WatchLimits.of(infra.settings)
        self._clock = clock
        self._watch = ServerWatch(infra.databases.cluster.conninfo, clock=clock)
        # Of another thread: what is done about all else takes longer than the lock table lasts.
        self._guard = ServerWatch(infra.databases.cluster.conninfo)
        self._guarded: deque[Verdict] = deque()
        self._history = History()
        self._shares = CpuShares()
        self._stepped_back: set[str] = set()
        self._owners: dict[str, str] = {}
        self._owners_at = self._ended_at = float("-inf")
        self._unwritten: list[Verdict] = []
        self._to_shut_out: dict[str, Backend] = {}

    def run_once(self) -> int:
        """Wait until it is time, or locks become short before, and look. Raises Unavailable when Postgres is away."""
        most = self._infra.settings.watchdog_seconds
        hurried = self._clock() - self._ended_at < HURRIED_FOR_SECONDS
        _short, ended = self._watch.wait(min(HURRIED_SECONDS, most) if hurried else most, self._limits.locks)
        self._guarded += map(_of_locks, ended)
        return len(ended) + self.look()

    def guard_locks(self) -> int:
        """Keep the lock table from being filled by one session, for a while; return how many were ended.

        For a thread of its own: nothing else is done here, and what was is written down after the next look. Raises
        Unavailable when Postgres is away.
        """
        short, ended = self._guard.wait(GUARD_SECONDS, self._limits.locks)
        self._guarded += map(_of_locks, ended)
        if short and not ended:
            time.sleep(HURRIED_SECONDS)  # by several together, or by us: that is for a look to tell
        return len(ended)

    def look(self) -> int:
        """Look once, and end who has to go; return how many. Raises Unavailable when Postgres is away."""
        now = self._clock()
        seen = self._watch.look(self._read_owners(now), queue=self._limits.queue)
        self._history = self._history.with_look(seen, now)
        gone = {each.backend.identity for each in self._guarded}  # a session takes a moment to end
        judged = self._of_tenants(judge(seen, self._limits, self._history, now))
        done = [each for each in judged if each.backend.identity not in gone and self._watch.end(each)]
        self._history = self._history.with_endings(done, now)
        while self._guarded:
            self._unwritten.append(self._guarded.popleft())
            self._ended_at = now
        if done:
            self._ended_at = now
        # Ended first, told afterwards: while it is there, the telling may not be possible.
        self._unwritten += done
        self._share_processors(seen, now)
        # Whoever took all locks may not have let go of them yet: then it is for the next look.
        with suppress(LockTableFull):
            self._write()
            self._shut_out()
        return len(done)

    def _shut_out(self) -> None:
        """Keep logins out, once it is written down: whoever lets them in again reads there."""
        for login, backend in list(self._to_shut_out.items()):
            self._watch.shut_out(backend)
            del self._to_shut_out[login]

    def _share_processors(self, seen: Snapshot, now: float) -> None:
        """Have the sessions of who uses more than their share step back, or no more; who begins to is told."""
        self._shares = self._shares.with_look(seen, self._limits, now)
        changes = self._shares.to_change(seen)
        if changes:
            self._watch.set_priorities(changes)
            self._shares = self._shares.with_changes(changes)
            self._ended_at = now
        lowered = [each for each, nice in changes if nice == LOW]
        begun = {each.project for each in lowered} - self._stepped_back
        reason = (
            f"it used more of the processors than the {self._limits.cpu / self._limits.processors:.0%} of a project"
        )
        self._unwritten += [Verdict("cpu", each, reason) for each in lowered if each.project in begun]
        self._stepped_back = (self._stepped_back | begun) & {
            each.project for each in seen.backends if each.nice >= LOW or each in lowered
        }

    def close(self) -> None:
        """Give the sessions back."""
        self._watch.close()
        self._guard.close()

    def _read_owners(self, now: float) -> dict[str, str]:
        """Return who owns each project: as last known, while that cannot be read."""
        if now - self._owners_at > OWNERS_SECONDS:
            try:
                with self._infra.database.autocommit() as tx:
                    self._owners = endings.owners(tx)
                self._owners_at = now
            except Unavailable:
                log.info("owners of projects could not be read")
        return self._owners

    def _of_tenants(self, verdicts: list[Verdict]) -> list[Verdict]:
        """Leave out the sessions of our own jobs, which end by the jobs' clocks.

        A tenant may give its session such a name: that of a job of its own project, for as long as the job runs.
        """
        named = {
            each.backend.identity: found[1]
            for each in verdicts
            if each.cause in BOUND_BY_JOBS and (found := _OF_A_JOB.fullmatch(each.backend.application))
        }
        if not named:
            return verdicts
        with self._infra.database.autocommit() as tx:
            running = endings.running_jobs(tx, sorted(named.values()))
        return [
            each for each in verdicts if (named.get(each.backend.identity, ""), each.backend.project) not in running
        ]

    def _write(self) -> None:
        """Write down what was ended; what cannot be written now is written after the next look."""
        groups: dict[tuple[str, str], list[Verdict]] = defaultdict(list)
        for verdict in self._unwritten:
            groups[verdict.backend.project, verdict.cause].append(verdict)
        if not groups:
            return
        # One session of each login is enough to name it.
        logins = {each.backend.login: each.backend for each in self._unwritten if each.cause == "locks"}
        with self._infra.database.transaction() as tx:
            kept_out = {login: endings.keep_out(tx, login, each.project) for login, each in logins.items()}
            for (project, cause), verdicts in groups.items():
                self._tell(tx, project, cause, [_with_penalty(each, kept_out) for each in verdicts])
        self._unwritten = []
        self._to_shut_out |= logins

    def _tell(self, tx: Transaction, project: str, cause: str, verdicts: list[Verdict]) -> None:
        owner, reason = self._owners.get(project), verdicts[-1].reason
        detail = {
            "reason": reason,
            "sessions": [{"pid": each.backend.pid, "login": each.backend.login, "did": each.did} for each in verdicts],
        }
        audit.record(
            tx,
            audit.AuditEntry(
                "system", f"watchdog.{cause}", verdicts[-1].outcome, owner_id=owner, project_id=project, detail=detail
            ),
        )
        if endings.count(tx, project, cause, len(verdicts), reason) and owner is not None:
            enqueue(tx, WarnOwner(project, cause), owner_id=owner)
        log.warning(
            "sessions %s",
            verdicts[-1].outcome,
            extra={"project_id": project, "cause": cause, "count": len(verdicts), "reason": reason},
        )


def _with_penalty(verdict: Verdict, kept_out: Mapping[str, float]) -> Verdict:
    """Add to a verdict for how long its login is kept out besides."""
    if verdict.cause != "locks":
        return verdict
    seconds = kept_out[verdict.backend.login]
    said = f"{verdict.reason}; {verdict.backend.login} may not log in for {seconds:.0f} seconds"
    return replace(verdict, reason=said)


def _of_locks(backend: Backend) -> Verdict:
    return Verdict("locks", backend, f"{backend.locks} locks were a session's, more than a project may hold")
