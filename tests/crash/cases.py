"""What can be done to a project or with its backups: how it comes to it, and everything that has to be so afterwards."""

from __future__ import annotations

import os
import re
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from catalog import backups, job_secrets, names, owner_migrations, projects
from catalog.secrets import SecretMissing
from infra.errors import Unavailable
from jobs import backups as sets
from jobs import kind as kinds
from jobs.kinds import (
    delete,
    export,
    import_,
    migrate,
    prune,
    rewrap_secrets,
    rotate_secret,
    sleep,
    vacuum_platform,
    wake,
)
from jobs.kinds.backup import BackupProject
from jobs.kinds.backup_fleet import BackupFleet
from jobs.kinds.backup_platform import BackupPlatform
from jobs.kinds.configure import ConfigureProject
from jobs.kinds.extension import ExtendProject
from jobs.kinds.forget_backup import ForgetBackup
from jobs.kinds.forget_database import ForgetDatabase
from jobs.kinds.pause import PauseProject
from jobs.kinds.provision import ProvisionProject
from jobs.kinds.reconcile import ReconcileProject
from jobs.kinds.restart import RestartProject
from jobs.kinds.restore import RestoreProject
from jobs.kinds.resume import ResumeProject
from jobs.kinds.retain_backups import RetainBackups
from jobs.kinds.undo_restore import UndoRestore
from jobs.kinds.vacuum import VacuumProject
from jobs.kinds.verify_backup import VerifyBackup
from jobs.kinds.verify_fleet import VerifyFleet
from jobs.lease import Leases
from jobs.runner import Runner
from jobs.table import FINAL, find
from tests.crash.carrying import damage, ledger, run_here, seen, status, steps, write
from tests.fixtures.beats import beating
from tests.fixtures.projects import add_project, drop, stored_tenant

if TYPE_CHECKING:
    from collections.abc import Callable

STEM = re.compile(r"(proj_[0-9a-f]{16}|platform)_[0-9]{8}_[0-9]{6}")
JOB = re.compile(r"job_[0-9a-f]{32}")
PASSPHRASE = "a passphrase that is long enough"
ROWS = 100
END_SECONDS = 60.0


class Place:
    """A project with rows, on which a job is tried; `backed_up`: with a backup of them."""

    def __init__(self, settings, infra, *, bare: bool = False, backed_up: bool = True):
        self.settings, self.infra = settings, infra
        self.id = add_project(infra)
        self.others: list[str] = []
        if bare:
            return
        self.run(ProvisionProject(self.id))
        self.sql(f"CREATE TABLE notes AS SELECT n FROM generate_series(1, {ROWS}) n")
        if backed_up:
            self.back_up()

    def back_up(self) -> None:
        """Back it up as it is now; that is what `backup` names from now on."""
        job = self.run(BackupProject(self.id))
        with self.infra.database.autocommit() as tx:
            self.backup = backups.of_job(tx, job.id)

    def sql(self, statement):
        tenant = stored_tenant(self.infra, self.id)
        with tenant.connect(tenant.roles.owner) as owner:
            owner.execute(statement)

    def run(self, arguments):
        job = write(self.infra, arguments)
        run_here(self.infra, job)
        return job

    def passwords(self) -> dict[str, str]:
        """Return what the project's logins have; nothing while it has no secrets."""
        try:
            return stored_tenant(self.infra, self.id).passwords
        except (SecretMissing, KeyError):
            return {}

    def set_status(self, wanted: str) -> None:
        with self.infra.database.autocommit() as tx:
            tx.execute("UPDATE projects SET status = %s WHERE id = %s", (wanted, self.id))

    def close(self):
        for project in (self.id, *self.others):
            with self.infra.databases.cluster.session("test") as admin:
                for use in names.BESIDE:
                    admin.execute(f'DROP DATABASE IF EXISTS "{project}_{use}" WITH (FORCE)')
            drop(self.infra, project)

    def world(self, project):
        """Everything outside, and all that the catalogue promises of it, with the project's own id left out."""
        things = seen(self.infra, project), ledger(self.infra, project), status(self.infra, project)
        return (
            self._on_the_server(project),
            *self._inside(project),
            self._files(),
            *self._listed(project),
            things,
            self._served(project),
            self._secrets(project),
        )

    def _on_the_server(self, project):
        with psycopg.connect(self.infra.database.conninfo) as admin:
            found = admin.execute(
                "SELECT 'database', datname, datconnlimit, datallowconn, datacl::text FROM pg_database"
                " WHERE datname LIKE %(like)s UNION ALL"
                " SELECT 'role', rolname, rolconnlimit, rolcanlogin, rolconfig::text FROM pg_roles"
                " WHERE rolname LIKE %(like)s ORDER BY 1, 2",
                {"like": f"{project}%"},
            ).fetchall()
        return [(kind, _plain(name, project), *more, _rights(acl, project)) for kind, name, *more, acl in found]

    def _inside(self, project):
        """Return how many rows there are and whose they are."""
        try:
            with psycopg.connect(self.infra.database.conninfo, dbname=project) as admin:
                rows = admin.execute("SELECT count(*) FROM public.notes").fetchone()
                rights = admin.execute("SELECT relacl::text FROM pg_class WHERE relname = 'notes'").fetchone()
                more = admin.execute(
                    "SELECT 'extension', extname FROM pg_extension UNION ALL SELECT 'table', relname FROM pg_class"
                    " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace UNION ALL"
                    " SELECT 'function', 'auth.email' WHERE to_regproc('auth.email') IS NOT NULL ORDER BY 1, 2"
                ).fetchall()
        except psycopg.Error:
            return None, None, None
        return rows, _plain(str(rights), project), more

    def _files(self):
        folders = [self.settings.backups_folder, self.settings.exports_folder, self.settings.imports_folder]
        found = [(folder.name, path.name) for folder in folders if folder.is_dir() for path in folder.iterdir()]
        return sorted((folder, JOB.sub("<job>", STEM.sub("<set>", name))) for folder, name in found)

    def _listed(self, project):
        """Return of each backup what is said of it and whether it can be restored: every byte of it is read."""
        with self.infra.database.autocommit() as tx:
            listed = backups.page(tx, project, before=None, limit=50)
            begun = tx.value("SELECT count(*) FROM backups WHERE finished_at IS NULL")
            kept = tx.value("SELECT count(*) FROM kept_databases WHERE project_id = %s", (project,))
        # A set that does not open raises, and names what is wrong.
        said = [(row.final, bool(row.verified_at), sets.opened(self.infra, row.stem).contents.rows) for row in listed]
        return _plain(str(said), project), begun, kept

    def _served(self, project):
        return (self.settings.instances_folder / project / "data-api.conf").exists()

    def _secrets(self, project):
        """Return which secrets there are, and in how many versions."""
        with self.infra.database.autocommit() as tx:
            rows = tx.rows(
                "SELECT name, count(*) AS versions FROM secrets WHERE scope = %s OR name LIKE 'job %%' GROUP BY 1",
                (project,),
            )
        return sorted((_plain(row["name"], project), row["versions"]) for row in rows)


def _plain(text: str, project: str) -> str:
    return text.replace(project, "<id>")


def _rights(acl: str | None, project: str) -> list[str]:
    return sorted(_plain(acl or "", project).strip("{}").split(","))


@dataclass(frozen=True)
class Case:
    """One thing to do. begin: brings a place to it, returns the arguments and the project that it is about."""

    name: str
    kind: Any
    begin: Callable[[Place], tuple[Any, str]]
    bare: bool = False
    backed_up: bool = False
    gpg: bool = False

    @property
    def marks(self) -> tuple[pytest.MarkDecorator, ...]:
        """What it needs of the machine."""
        return (pytest.mark.gpg,) if self.gpg or self.backed_up else ()

    def place(self, settings, infra) -> Place:
        return Place(settings, infra, bare=self.bare, backed_up=self.backed_up)


CASES: dict[str, Case] = {}


def case(kind, *, bare: bool = False, backed_up: bool = False, gpg: bool = False):
    """Make a case of what a function begins; it is called as that is."""

    def register(begin):
        CASES[begin.__name__] = Case(begin.__name__, kind, begin, bare, backed_up, gpg)
        return begin

    return register


@case(ProvisionProject, bare=True)
def provision(place):
    return ProvisionProject(place.id), place.id


def _plainly(kind, *more):
    """A kind that needs nothing but a project."""

    def begin(place):
        return kind(place.id, *more), place.id

    begin.__name__ = kind.kind.name.rpartition(".")[2]
    return case(kind, gpg=kind is BackupProject)(begin)


for _kind, *_more in (
    (PauseProject,), (RestartProject,), (ConfigureProject,), (VacuumProject,), (ExtendProject, "pgcrypto"), (BackupProject,),
    (migrate.MigrateProject,),
):  # fmt: skip
    _plainly(_kind, *_more)


@case(delete.DeleteProject, gpg=True)
def delete_(place):
    place.set_status("deleting")
    return delete.DeleteProject(place.id), place.id


@case(delete.DeleteProject, backed_up=True)
def purge(place):
    place.set_status("deleting")
    return delete.DeleteProject(place.id, purge=True), place.id


@case(ResumeProject)
def resume(place):
    place.run(PauseProject(place.id))
    return ResumeProject(place.id), place.id


def _let_be_idle(place):
    with suppress(FileNotFoundError):
        os.utime(place.settings.instances_folder / place.id / "last-request", (0, 0))
    with place.infra.database.autocommit() as tx:
        tx.execute(
            """INSERT INTO project_settings (project_id, settings) VALUES (%s, '{"idleMinutes": 1}') ON CONFLICT DO NOTHING""",
            (place.id,),
        )
        tx.execute("UPDATE projects SET updated_at = now() - interval '1 hour' WHERE id = %s", (place.id,))
        tx.execute("UPDATE jobs SET finished_at = now() - interval '1 hour' WHERE project_id = %s", (place.id,))


@case(sleep.SleepProject)
def fall_asleep(place):
    _let_be_idle(place)
    return sleep.SleepProject(place.id), place.id


@case(wake.WakeProject)
def wake_up(place):
    _let_be_idle(place)
    place.run(sleep.SleepProject(place.id))
    return wake.WakeProject(place.id), place.id


@case(ReconcileProject)
def reconcile(place):
    damage(place.infra, place.id)
    return ReconcileProject(place.id), place.id


@case(rotate_secret.RotateSecret)
def rotate_passwords(place):
    return rotate_secret.RotateSecret(place.id, "databasePassword"), place.id


@case(rotate_secret.RotateSecret)
def rotate_keys(place):
    return rotate_secret.RotateSecret(place.id, "jwtSecret", 3600), place.id


@case(migrate.MigrateProject)
def apply_owners_migration(place):
    wanted = owner_migrations.Wanted(
        "1", "a change", "CREATE TABLE fruit (id int);\nINSERT INTO fruit VALUES (1);", 30_000
    )
    with place.infra.database.transaction() as tx:
        made = owner_migrations.submit(tx, place.id, wanted)
    return migrate.MigrateProject(place.id, made.id), place.id


@case(VerifyBackup, backed_up=True)
def verify(place):
    return VerifyBackup(place.id, place.backup.id), place.id


@case(RestoreProject, backed_up=True)
def restore(place):
    place.sql("DELETE FROM notes WHERE n > 50")
    return RestoreProject(place.id, place.backup.id), place.id


@case(RestoreProject, backed_up=True)
def restore_again(place):
    """There is a database of before an earlier restore."""
    place.run(RestoreProject(place.id, place.backup.id))
    return restore(place)


@case(RestoreProject, backed_up=True)
def restore_as_new(place):
    place.others.append(add_project(place.infra, status="restoring"))
    return RestoreProject(place.others[0], place.backup.id), place.others[0]


@case(UndoRestore, backed_up=True)
def undo(place):
    arguments, _ = restore(place)
    place.run(arguments)
    return UndoRestore(place.id), place.id


@case(ForgetDatabase, backed_up=True)
def forget(place):
    arguments, _ = restore(place)
    job = place.run(arguments)
    return ForgetDatabase(place.id, job.id), place.id


@case(ForgetBackup, backed_up=True)
def forget_one(place):
    return ForgetBackup(place.id, place.backup.id), place.id


@case(BackupPlatform, gpg=True)
def platform(place):
    return BackupPlatform(), place.id


@case(BackupFleet, gpg=True)
def fleet(place):
    return BackupFleet(), place.id


@case(VerifyFleet, backed_up=True)
def verify_all(place):
    return VerifyFleet(), place.id


@case(RetainBackups, backed_up=True)
def retain(place):
    """A newer backup was proven; the first one is older than they are kept."""
    with place.infra.database.autocommit() as tx:
        tx.execute("UPDATE backups SET created_at = created_at - interval '40 days'")
    job = place.run(BackupProject(place.id))
    with place.infra.database.autocommit() as tx:
        newer = backups.of_job(tx, job.id)
    place.run(VerifyBackup(place.id, newer.id))
    (place.settings.backups_folder / f".{place.id}_20200101_000000.sql.gz.gpg").write_bytes(b"left by somebody")
    return RetainBackups(), place.id


@case(export.ExportProject, gpg=True)
def export_(place):
    with place.infra.database.transaction() as tx:
        kept = job_secrets.keep(tx, place.infra.vault, PASSPHRASE)
    return export.ExportProject(place.id, kept), place.id


@case(import_.ImportProject, gpg=True)
def import_as_new(place):
    arguments, _ = export_(place)
    job, folder = place.run(arguments), place.settings.imports_folder
    folder.mkdir(mode=0o700, exist_ok=True)
    shutil.move(export.path_of(place.settings.exports_folder, place.id, job.id), folder / "shop.gpg")
    with place.infra.database.transaction() as tx:
        kept = job_secrets.keep(tx, place.infra.vault, PASSPHRASE)
        owner = tx.value("SELECT owner_id FROM projects WHERE id = %s", (place.id,))
        project = projects.create(tx, owner, name="copy", pool_size=5, quota=0).id
        projects.mark_restoring(tx, project)
    place.others.append(project)
    return import_.ImportProject(project, "shop.gpg", "sql.gz", kept), project


@case(prune.PrunePlatform)
def prune_platform(place):
    return prune.PrunePlatform(), place.id


@case(vacuum_platform.VacuumPlatform)
def vacuum_of_platform(place):
    return vacuum_platform.VacuumPlatform(), place.id


@case(rewrap_secrets.RewrapSecrets)
def rewrap(place):
    return rewrap_secrets.RewrapSecrets(), place.id


def carry_on(infra, job) -> dict[str, str]:
    """Let other workers take the job up until it ends, its rests over at once; return its steps. It has to succeed."""
    leases = Leases(infra.database, infra.settings, worker="here")
    runner = Runner(infra, leases, worker="here", queues=["control", "bulk"], serves=sorted(kinds.kinds()))
    deadline, ended = time.monotonic() + END_SECONDS, None
    with beating(leases):
        while ended is None or ended.status not in FINAL:
            assert time.monotonic() < deadline, f"it does not end: {ended}"
            with suppress(Unavailable):
                with infra.database.autocommit() as tx:
                    tx.execute("UPDATE jobs SET run_at = now(), claim_after = now() WHERE status = 'retrying'")
                runner.drain()
                with infra.database.autocommit() as tx:
                    ended = find(tx, job.id)
    assert ended.status == "succeeded", ended.error
    return steps(infra, job)
