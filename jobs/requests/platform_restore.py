"""When the platform's own database is lost: it is restored from a backup, and then reconciled with what there is.

These are acts of whoever may read the home folder, not jobs: the job table is what is being restored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from catalog import backups as catalogue
from catalog import names, secrets
from catalog import project_states as states
from infra.backup.differences import shortened
from infra.backup.set_plan import DumpSource
from infra.errors import InfraError, Refused
from infra.postgres import migrations
from infra.postgres.database import Transaction, connect, translate_errors
from infra.postgres.project_staging import ProjectStaging
from infra.postgres.sql import statements
from infra.postgres.staging import StagingDatabase
from infra.secrets import master_keys, secretfiles
from infra.secrets.service_logins import ensure_service_logins
from infra.secrets.vault import Vault
from jobs.backup import backups, carry_over
from jobs.engine.enqueue import enqueue
from jobs.kinds.backup.restore import RestoreProject

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.backup.verified_set import VerifiedSet
    from infra.composition import Infra

SQL = statements(__file__)
SESSION = "launchdb-restore-platform"
REWRAPPED_AT_A_TIME = 500


def newest(infra: Infra) -> str:
    """Return the name of the newest set of the platform's own database. Raises Refused when there is none."""
    found = [stem for stem in backups.store(infra).stems() if stem.startswith(f"{catalogue.PLATFORM}_")]
    if not found:
        raise Refused(f"there is no backup of the platform in {infra.settings.backups_folder}")
    return found[-1]


def restore_platform(infra: Infra, stem: str, tell: Callable[[str], None]) -> str:
    """Replace the platform's database by what a set holds; return the name that the one before bears now.

    Nothing of the live one is touched until the restored one is whole and compared. What was under way when the
    backup was made is cancelled; projects, owners and passwords newer than it stay.

    Raises Refused, naming what is wrong; Unavailable.
    """
    source = backups.opened(infra, stem)
    if source.manifest.scope != catalogue.PLATFORM:
        raise Refused(f"{stem} is no backup of the platform")
    live = _live(infra)
    restored, kept = f"{live}_restored", f"{live}_before"
    staging = _staging(infra)
    staging.create(restored)
    uri = infra.databases.cluster.conninfo_in(restored)
    try:
        tell("restoring into a staging database")
        _fill(infra, source, uri)
        _compare(infra, source, uri)
        with translate_errors(), connect(uri, SESSION) as login:
            migrations.apply_migrations(login, "platform")
            for statement in (SQL.rest, SQL.forget_workers):
                login.execute(statement)
            _give_up_moving(Transaction(login))
            staging.open(live)
            _carry_over(infra, live, Transaction(login), tell, owners=True)
            _rewrap(infra, Transaction(login))
    except BaseException:
        staging.drop(restored)
        raise
    tell("swapping it in")
    staging.swap(live, restored, kept)
    ensure_service_logins(infra.databases.cluster, live, infra.settings.secrets_folder, SESSION)
    return kept


def adopt_unknown(infra: Infra, tell: Callable[[str], None]) -> dict[str, Any]:
    """Take into the catalogue what there is and it does not know; and restore projects whose database is gone.

    Returns what was done: backups, carried, restored (by project, their job), lost.
    """
    done: dict[str, Any] = {"backups": _adopt_sets(infra, tell), "carried": [], "restored": {}, "lost": []}
    with infra.database.transaction() as tx:
        done["carried"] = _carry_over(infra, f"{_live(infra)}_before", tx, tell)
        if done["carried"]:
            _rewrap(infra, tx)
    with infra.database.autocommit() as tx:
        settled = tx.rows(SQL.settled, states.SETS)
    for row in settled:
        project = str(row["id"])
        if ProjectStaging(infra.databases, names.roles(project), SESSION).exists(names.database(project)):
            continue
        with infra.database.transaction() as tx:
            backup = catalogue.newest(tx, project)
            if backup is None:
                reason = "its database is gone, and there is no backup of it"
                if states.move(tx, project, "failed", by="adopt", reason=reason):
                    done["lost"].append(project)
                continue
            if not states.move(tx, project, "restoring", by="adopt"):
                continue
            job = enqueue(tx, RestoreProject(project, backup.id), by="operator", owner_id=row["owner_id"])
            done["restored"][project] = job.id
        tell(f"{project}: its database is gone; restoring {backup.stem}")
    return done


def _give_up_moving(tx: Transaction) -> None:
    """No job will see to these any more."""
    for project, status in states.in_transition(tx):
        reason = f"it was {status} when the platform was backed up; delete it, or restore a backup of it"
        states.move(tx, project, "failed", by="restore-platform", reason=reason)


def _carry_over(
    infra: Infra, name: str, target: Transaction, tell: Callable[[str], None], *, owners: bool = False
) -> list[str]:
    """Carry what the platform in database `name` alone knows over to `target`; return the projects.

    Where it cannot be read, that is told and keeps nothing else away: it may be what the platform is restored for.
    """
    if not (_staging(infra).exists(name) or _staging(infra).is_half_dropped(name)):
        return []
    uri = infra.databases.cluster.conninfo_in(name)
    try:
        with carry_over.open_view(uri, SESSION) as source, target.connection.transaction():
            if carry_over.is_comparable(source, target):
                if owners:
                    carry_over.carry_over_owners(source, target)
                return carry_over.carry_over_projects(infra, source, target, tell)
            why = "it has another schema"
    except (psycopg.Error, InfraError) as error:
        # The server's detail might quote a row. When the server itself is away, whatever comes next says so.
        said = error.diag.message_primary or error.sqlstate if isinstance(error, psycopg.Error) else str(error)
        why = f"it cannot be read ({said or type(error).__name__})"
    tell(f"what the platform of before ({name}) alone knows is NOT carried over: {why}")
    return []


def _staging(infra: Infra) -> StagingDatabase:
    return StagingDatabase(infra.databases.cluster, SESSION)


def _live(infra: Infra) -> str:
    return infra.databases.platform


def _adopt_sets(infra: Infra, tell: Callable[[str], None]) -> int:
    store, count = backups.store(infra), 0
    for stem in store.stems():
        try:
            manifest = store.read(stem)
        except Refused as error:
            tell(str(error))
            continue
        with infra.database.transaction() as tx:
            if catalogue.adopt(tx, manifest):
                count += 1
                tell(f"{stem} was not known")
    return count


def _fill(infra: Infra, source: VerifiedSet, uri: str) -> None:
    with (
        translate_errors(),
        connect(uri, SESSION) as login,
    ):
        login.execute("SET synchronous_commit = off")
        login.prepare_threshold = None  # what runs here may run DEALLOCATE
        played = backups.store(infra).restore_into(login, source, extend=_no_extension)
    if played.failures:
        raise Refused(played.failures[0])


def _rewrap(infra: Infra, tx: Transaction) -> None:
    """Wrap by today's master key what one of before has wrapped. Raises Refused when that one is not kept."""
    folder = infra.settings.secrets_folder
    known = [*secretfiles.read(folder, master_keys.NAME), *master_keys.earlier_keys(folder)]
    vault = Vault(lambda: known)
    vault.reseal_canary(tx)
    while secrets.rewrap_some(tx, vault, limit=REWRAPPED_AT_A_TIME):
        continue


def _no_extension(name: str, _schema: str) -> None:
    raise Refused(f"the platform's backup names the extension {name}, which the platform does not use")


def _compare(infra: Infra, source: VerifiedSet, uri: str) -> None:
    found = source.compare(DumpSource(infra.databases.cluster, uri, SESSION))
    wrong = [str(each) for each in found if not each.remark]
    if wrong:
        raise Refused(f"the restored database differs from what was backed up: {'; '.join(shortened(wrong))}")
