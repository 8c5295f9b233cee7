"""The quotas of databases: who comes near is warned, who is over may only read until there is room again."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import audit, endings, projects
from catalog.projects import ProjectBusy
from infra.postgres import sizes
from jobs.engine.enqueue import enqueue
from jobs.kinds.project.reconcile import ReconcileProject
from jobs.kinds.project.warn import WarnOwner
from jobs.requests import lifecycle

if TYPE_CHECKING:
    from catalog.projects import LimitedProject, QuotaState
    from infra.composition import Infra
    from infra.postgres.database import Transaction

log = logging.getLogger(__name__)
SESSION = "launchdb-quotas"
# Parts of a quota: from when on an owner is warned, below which there is room again, beyond which who grows is paused.
NEAR, ROOM, FAR_BEYOND = 0.9, 0.95, 1.5
MIB = 1024 * 1024
# What a catalogue grows by itself is no growth.
GROWTH = MIB
# So often it may be seen to have grown before.
GROWN_LOOKS = 3


@dataclass(frozen=True)
class QuotaVerdict:
    """How a project stands, and what is said of it."""

    state: QuotaState
    said: str


def judge_quota(size: int, quota: int, state: QuotaState) -> QuotaVerdict:
    """Return how a database of that size stands to its quota (0: none), in bytes."""
    said = f"its database has {size / MIB:.1f} MB of {quota // MIB}"
    if not quota or size <= quota * NEAR:
        return QuotaVerdict("free", f"{said}: it may be written to")
    if size > quota or (state == "over" and size > quota * ROOM):
        return QuotaVerdict("over", f"{said}: it may only be read until it is smaller")
    return QuotaVerdict("warned", f"{said}: beyond that it may only be read")


class QuotaKeeper:
    """Several may run: what one has found out is no news to the next."""

    def __init__(self, infra: Infra) -> None:
        self._infra = infra
        self._sizes: dict[str, int] = {}
        self._grown: Counter[str] = Counter()

    def run_once(self) -> int:
        """Look once; return for how many projects something changed. Raises Unavailable when Postgres is away."""
        with self._infra.database.autocommit() as tx:
            limited = projects.with_quota(tx)
        found = sizes.sizes_of(self._infra.databases.cluster, [one.id for one in limited], SESSION) if limited else {}
        self._grown = Counter({project: looks for project, looks in self._grown.items() if project in found})
        changed = sum(self._keep(one, found[one.id]) for one in limited if one.id in found)
        self._sizes = found
        return changed

    def _keep(self, one: LimitedProject, size: int) -> bool:
        verdict = judge_quota(size, one.quota, one.state)
        grown = one.state == "over" and size > max(self._sizes.get(one.id, size) + GROWTH, one.quota * FAR_BEYOND)
        self._grown[one.id] = self._grown[one.id] + grown if one.state == "over" else 0
        with self._infra.database.transaction() as tx:
            if not projects.set_quota_state(tx, one.id, verdict.state):
                return grown and self._grown[one.id] == GROWN_LOOKS and self._pause(tx, one, verdict)
            _record(tx, one, verdict.state, verdict.said)
            if "over" in (verdict.state, one.state):
                # What new sessions begin with, of the database and of the data API.
                enqueue(tx, ReconcileProject(one.id, (f"quota: {verdict.said}",)), owner_id=one.owner_id)
            if verdict.state != "free" and endings.count(tx, one.id, "quota", 0, verdict.said):
                enqueue(tx, WarnOwner(one.id, "quota"), owner_id=one.owner_id)
        log.warning("a quota", extra={"project_id": one.id, "state": verdict.state, "said": verdict.said})
        return True

    def _pause(self, tx: Transaction, one: LimitedProject, verdict: QuotaVerdict) -> bool:
        """Shut the door of who grows on although writing was taken away: their sessions take it back each time."""
        try:
            lifecycle.pause(tx, one.id, by="system", owner_id=one.owner_id)
        except ProjectBusy:
            return False
        _record(tx, one, "paused", f"{verdict.said}; it grew on, and was paused")
        return True


def _record(tx: Transaction, one: LimitedProject, state: str, said: str) -> None:
    entry = audit.AuditEntry(
        "system", f"quota.{state}", "recorded", owner_id=one.owner_id, project_id=one.id, detail={"said": said}
    )
    audit.record(tx, entry)
