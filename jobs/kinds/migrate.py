"""project.migrate: a project's database has what the template has by now, or what its owner wants applied to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import names
from infra.errors import Refused
from infra.sql import statements
from infra.upgrades import Upgrades
from jobs import data_plane
from jobs.commands import JobConflict
from jobs.drift import SETTLED
from jobs.errors import GiveUp
from jobs.kind import Step, kind

if TYPE_CHECKING:
    from infra.database import Transaction
    from infra.upgrades import Standing
    from jobs.run import Run

SQL = statements(__file__)


def project_can_be_migrated(run: Run[MigrateProject], tx: Transaction) -> None:
    """Raise GiveUp unless the project is in a state in which it can be migrated."""
    status = tx.value(SQL.status, {"project": run.args.project_id})
    if status not in SETTLED:
        raise GiveUp(f"the project is {status or 'deleted'}")


def schema_is_newest(run: Run[MigrateProject]) -> None:
    """Apply what the database lacks of our own files, one transaction each. Raises Refused for an edited one."""
    database = names.database(run.args.project_id)
    upgrades = _upgrades(run)
    standing = upgrades.look(database, run.session)
    if standing.edited:
        raise Refused(f"{', '.join(standing.edited)}: edited after it had been applied to this project")
    for done, version in enumerate(standing.missing):
        run.check()
        run.progress(done, len(standing.missing), version)
        upgrades.apply(version, database, names.roles(run.args.project_id), run.session)
        run.log(f"{version} was applied")
    _report(run, upgrades.look(database, run.session) if standing.missing else standing)


def _report(run: Run[MigrateProject], standing: Standing) -> None:
    with run.infra.database.autocommit() as tx:
        since = tx.value(SQL.asked_at, {"job": run.job_id})
    run.result.update(
        projectId=run.args.project_id,
        applied=[line.version for line in standing.applied if line.applied_at >= since],
        versions=[line.version for line in standing.applied],
        ahead=list(standing.ahead),
    )


def round_trip_is_proven(run: Run[MigrateProject]) -> None:
    """Prove that an active project still answers."""
    with run.infra.database.autocommit() as tx:
        status = tx.value(SQL.status, {"project": run.args.project_id})
    if status == "active":
        data_plane.prove_round_trip(run)


def migration_is_told(run: Run[MigrateProject], tx: Transaction) -> None:
    """Say in the catalogue which template the project is equal to; one that is ahead of ours keeps its own."""
    if not run.result["ahead"]:
        template = run.infra.databases.templates.name
        tx.execute(SQL.mark_newest, {"project": run.args.project_id, "template": template})


def begin_again(args: MigrateProject, tx: Transaction) -> None:
    """Let the migration go on. Raises JobConflict when the project is in no state to be migrated."""
    status = tx.value(SQL.status, {"project": args.project_id})
    if status not in SETTLED:
        raise JobConflict(f"the project is {status or 'deleted'}")


def _upgrades(run: Run[MigrateProject]) -> Upgrades:
    return Upgrades(run.infra.databases.cluster, run.infra.databases.templates.folder)


@kind(
    "project.migrate",
    steps=(
        Step(project_can_be_migrated, atomic=True, title="Look whether it can be migrated"),
        Step(schema_is_newest, long=True, title="Apply what is missing"),
        Step(round_trip_is_proven, title="Prove a round trip"),
        Step(migration_is_told, atomic=True, title="Report"),
    ),
    retried=begin_again,
)
@dataclass(frozen=True)
class MigrateProject:
    """Brings a project's database from the template that it was copied from to the newest."""

    project_id: str
