"""The sweep: one look at everything of ours outside; what differs gets a job, what belongs to nobody gets a name."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalog import audit, secrets
from catalog import project_states as states
from infra.errors import InfraError, Unavailable
from infra.instances.instances import EmptySnapshot
from infra.postgres.sql import statements
from jobs.engine.enqueue import enqueue
from jobs.kinds.project.reconcile import ReconcileProject
from jobs.projects import drift, pooling, schema_drift

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from infra.composition import Infra
    from infra.instances.instances import InstanceSnapshot
    from infra.pooler.pooler import PoolerEntry
    from infra.postgres.databases import ServerSurvey

log = logging.getLogger(__name__)
SQL = statements(__file__)
SESSION = "launchdb-sweeper"
LABEL = "launchdb:"
# What could not be mended is tried again so seldom, unless something else differs by then.
REST_MINUTES = 10


@dataclass(frozen=True)
class SweepSnapshot:
    """What one sweep saw: databases and roles, what the pooler serves (None: nobody could ask), data APIs."""

    seen: ServerSurvey
    served: dict[str, PoolerEntry] | None
    instances: InstanceSnapshot


class Sweeper:
    """Several may run: a job for what differs already is not enqueued twice, and one too many finds nothing to do."""

    def __init__(self, infra: Infra) -> None:
        self._infra = infra
        self._looks = schema_drift.DriftScanner(infra, SESSION)
        self.opened = 0  # databases that the last look went into

    def run_once(self) -> int:
        """Look once; return how many projects a job was enqueued for. Raises Unavailable when Postgres is away."""
        with self._infra.database.autocommit() as tx:
            now: datetime = tx.value(SQL.now)
        # The world first: what a job changes after this look is not judged by it.
        seen = self._infra.databases.survey(None, SESSION)
        served, instances = self._served(), self._instances()
        self._name_strays(seen, instances, now)
        rows = self._settled(now)
        looked = self._looks.differences(row for row in rows if schema_drift.can_be_opened(seen, row["id"]))
        self.opened = len(looked)
        self._name_mistaken_logins(rows)
        world = SweepSnapshot(seen, served, instances)
        return sum(self._mend(world, row, looked.get(row["id"], row["drift"])) for row in rows)

    def _name_mistaken_logins(self, rows: list[dict[str, Any]]) -> None:
        """Keep what was found in databases that asks for a login which no request has: its owner has to change it."""
        changed = {
            row["id"]: row for row in rows if self._looks.mistaken.get(row["id"], row["mistaken"]) != row["mistaken"]
        }
        if not changed:
            return
        with self._infra.database.transaction() as tx:
            for project, row in changed.items():
                found = self._looks.mistaken[project]
                tx.execute(SQL.keep_mistaken, {"project": project, "found": found})
                detail = {"found": found, "before": row["mistaken"]}
                known = {"owner_id": row["owner_id"], "project_id": project, "detail": detail}
                audit.record(tx, audit.AuditEntry("system", "drift.login", "named", **known))

    def _instances(self) -> InstanceSnapshot:
        """Look at all data APIs once; while that cannot be done, the rest is looked at all the same."""
        try:
            return self._infra.instances.snapshot()
        except Unavailable as error:
            log.warning("data APIs cannot be looked at", extra={"error": str(error)})
            return EmptySnapshot()

    def _settled(self, now: datetime) -> list[dict[str, Any]]:
        """Return the projects that no job has been changing since then, with their secrets."""
        with self._infra.database.autocommit() as tx:
            rows = tx.rows(SQL.settled, {"now": now, **states.SETS})
            known = secrets.read_scopes(tx, self._infra.vault, [row["id"] for row in rows])
        return [{**row, "known": known[row["id"]]} for row in rows]

    def _served(self) -> dict[str, PoolerEntry] | None:
        """Bring the pooler to what the ledger says, and return what it serves then; None when nobody can ask it.

        Its files belong to no project, so no project's job would find them damaged.
        """
        try:
            self._infra.pooler.prepare(SESSION)
            if pooling.update_pooler(self._infra):
                log.warning("the pooler had to be put right")
            return {entry.database: entry for entry in self._infra.pooler.served()}
        except Unavailable as error:
            log.warning("the pooler cannot be looked at", extra={"reason": str(error)})
            return None

    def _mend(self, world: SweepSnapshot, row: dict[str, Any], within: list[str]) -> bool:
        """Enqueue a job for a project that differs; what was named before and cannot be mended is no reason for one."""
        project = drift.WantedProject(
            *(row["id"], row["status"], row["pool_size"], row["settings"]),
            read_only=row["read_only"],
            kept_out=frozenset(row["kept_out"]),
        )
        found = drift.differences(
            self._infra, world.seen, project, row["known"], served=world.served, instances=world.instances
        )
        if not found and sorted(within) == sorted(row["drift"]) and not row["complains"]:
            return False
        found += within
        with self._infra.database.transaction() as tx:
            values = {"project": project.id, "found": found, "minutes": REST_MINUTES}
            if tx.value(SQL.resting, values):
                return False
            job = enqueue(tx, ReconcileProject(project.id, tuple(found)), owner_id=row["owner_id"])
        log.warning("project differs", extra={"project_id": project.id, "job_id": job.id, "faults": found})
        return True

    def _name_strays(self, seen: ServerSurvey, instances: InstanceSnapshot, now: datetime) -> None:
        """Name what bears our label and belongs to no project. It is never removed here: the catalogue may be wrong.

        A container that has ended holds nothing, and is removed.
        """
        things, ended = sorted(self._things(seen, instances)), instances.ended()
        with self._infra.database.transaction() as tx:
            named = {"projects": sorted({project for _kind, _name, project in things}.union(ended)), "now": now}
            known = {row["id"] for row in tx.rows(SQL.known, named)}
            for kind, name, project in things:
                detail = {"kind": kind, "name": name}
                if project not in known and not tx.value(SQL.named, {"project": project, **detail}):
                    audit.record(
                        tx, audit.AuditEntry("system", "drift.stray", "named", project_id=project, detail=detail)
                    )
                    log.warning("something of ours belongs to no project", extra={**_plain(detail), "project": project})
        for project in ended:
            if project not in known:
                self._discard(project)

    def _discard(self, project: str) -> None:
        try:
            gone = self._infra.instances.discard(project)
        except InfraError as error:
            log.warning("an ended container was not removed", extra={"project": project, "error": str(error)})
            return
        if gone:
            with self._infra.database.transaction() as tx:
                audit.record(tx, audit.AuditEntry("system", "drift.ended", "removed", project_id=project))
            log.info("ended container removed", extra={"project": project})

    def _things(self, seen: ServerSurvey, instances: InstanceSnapshot) -> Iterator[tuple[str, str, str]]:
        for kind, found in (("database", seen.databases), ("role", seen.roles)):
            for name, row in found.items():
                if (row["label"] or "").startswith(LABEL):
                    yield kind, name, row["label"].removeprefix(LABEL)
        for instance in instances.list():
            yield "instance", instance.id, instance.project_id
        for project in self._infra.auth.list():
            yield "auth", project, project
        for project in self._infra.storage.list():
            yield "storage", project, project


def _plain(detail: dict[str, str]) -> dict[str, str]:
    # A log record has a member called name already.
    return {f"thing_{member}": value for member, value in detail.items()}
