"""project.vacuum: old rows of Auth go, dead ones are cleared away, and statistics are fresh, table by table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from catalog import names, settings
from catalog import project_states as states
from infra.postgres.auth_tables.pruning import Lifetimes, prune
from infra.postgres.tenant_session import Bounds, tenant_session
from infra.postgres.vacuum import Vacuum
from jobs.engine.commands import JobConflict
from jobs.engine.errors import GiveUp
from jobs.engine.kind import BULK, Step, kind
from jobs.projects.data_plane import stored_secrets

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from infra.postgres.vacuum import TableStats
    from jobs.engine.run import Run

# Tables that are worth a VACUUM FULL or a rebuilt table are named: so much of them, and of their own size, is empty.
BLOATED_BYTES, BLOATED_SHARE, MOST_BLOATED = 1024 * 1024, 0.2, 10
WORDS = {"busy": "somebody held its lock", "failed": "it could not be vacuumed"}
# What a batch of old rows may take; triggers of the owner's run with it, with no more rights than theirs.
PRUNE_BOUNDS = Bounds(3600.0, statement_seconds=300.0, lock_seconds=10.0, size=1024 * 1024)


def delete_old_auth_rows(run: Run[VacuumProject]) -> None:
    """Delete what nobody can sign in with any more. Raises GiveUp when the project is not active."""
    project = run.args.project_id
    with run.infra.database.autocommit() as tx:
        _ensure_active(tx, project)
        chosen = settings.effective(settings.read(tx, project).settings, run.infra.settings)
    lifetimes = Lifetimes(
        session=timedelta(seconds=max(chosen.refresh_token_seconds, chosen.access_token_seconds)),
        one_time=timedelta(seconds=chosen.one_time_seconds),
        audit=timedelta(days=chosen.audit_days),
    )
    login = names.roles(project).auth
    uri = run.infra.databases.uri(names.database(project), login, stored_secrets(run)[names.password(login)])
    cluster = run.infra.databases.cluster
    with tenant_session(cluster, uri, run.session, PRUNE_BOUNDS, look=run.check) as session:
        deleted, refused = prune(session, lifetimes, run.check)
    run.result["authRowsDeleted"] = {table: count for table, count in deleted.items() if count}
    for table in refused:
        run.log(f"old rows of auth.{table} stay: something in the project refused to have them deleted")


def _ensure_active(tx: Transaction, project: str) -> None:
    if states.state_of(tx, project) != "active":
        raise GiveUp("the project is not active")


def vacuum_tables(run: Run[VacuumProject]) -> None:
    """Vacuum and analyse what has changed. Raises GiveUp when the project is not active."""
    project = run.args.project_id
    with run.infra.database.autocommit() as tx:
        _ensure_active(tx, project)
    # Not as the owner, whose application may hold every session that the owner has: this login inherits what is theirs.
    login = names.roles(project).dump
    uri = run.infra.databases.uri(names.database(project), login, stored_secrets(run)[names.password(login)])
    vacuum = Vacuum(run.infra.databases.cluster, uri, run.session)
    run.check()
    before, size = vacuum.tables(), vacuum.size()
    left = vacuum_all(run, vacuum, [table for table in before if table.changed])
    run.result["projectId"] = project
    report(run, vacuum, before, left)
    run.result["bytes"] = {"before": size, "after": vacuum.size()}


def vacuum_all(run: Run[Any], vacuum: Vacuum, changed: list[TableStats]) -> dict[str, str]:
    """Vacuum these tables; return why some were left out, by name."""
    total, done = sum(table.pages for table in changed), 0
    left: dict[str, str] = {}
    for table in changed:
        name = f"{table.schema}.{table.name}"

        def look(scanned: int, done: int = done, name: str = name) -> None:
            run.check()
            run.progress(min(done + scanned, total), total, name)

        look(0)
        outcome = vacuum.run(table, look)
        if outcome in WORDS:
            left[name] = WORDS[outcome]
            run.log(f"{name} was left out: {WORDS[outcome]}")
        done += table.pages
    return left


def report(run: Run[Any], vacuum: Vacuum, before: list[TableStats], left: dict[str, str]) -> None:
    """Report what was vacuumed, what was left out and why, how old the oldest row is, and how much space is bloat."""
    after, bloat = vacuum.tables(), vacuum.bloat()
    worst = [table for table in bloat if table.bloat > max(BLOATED_BYTES, BLOATED_SHARE * table.bytes)]
    vacuumed = sum(table.changed for table in before) - len(left)
    run.result.update(
        tablesVacuumed=vacuumed,
        tablesUnchanged=sum(not table.changed for table in before),
        tablesLeftOut=left,
        deadRows={"before": sum(table.dead for table in before), "after": sum(table.dead for table in after)},
        wraparoundAge=max((table.age for table in after), default=0),
        bloatBytes=sum(table.bloat for table in bloat),
        bloated={table.name: table.bloat for table in worst[:MOST_BLOATED]},
    )
    if not vacuumed and not left:
        run.result["skipped"] = "nothing has changed since the last vacuum"
        run.log("nothing has changed since the last vacuum")


def on_retry(args: VacuumProject, tx: Transaction) -> None:
    """Allow the vacuum to go on. Raises JobConflict when the project is not active."""
    if states.state_of(tx, args.project_id) != "active":
        raise JobConflict("the project is not active")


@kind(
    "project.vacuum",
    steps=(
        Step(delete_old_auth_rows, long=True, title="Delete old rows of Auth"),
        Step(vacuum_tables, long=True, title="Vacuum and analyse"),
    ),
    queue=BULK,
    lane="bulk",
    max_running=2,
    coalesces=True,
    conflicts=("project.pause", "project.resume", "project.restart", "project.delete"),
    retried=on_retry,
)
@dataclass(frozen=True)
class VacuumProject:
    """Deletes old rows of a project's Auth; vacuums and analyses the tables that have changed."""

    project_id: str
