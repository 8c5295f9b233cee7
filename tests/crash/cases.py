"""What can be done to a project or with its backups: how it comes to it, and everything that has to be so afterwards."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from catalog import backups, job_secrets, owner_migrations, projects
from jobs.backup import exports
from jobs.kinds.backup import export, import_
from jobs.kinds.backup.backup import BackupProject
from jobs.kinds.backup.backup_fleet import BackupFleet
from jobs.kinds.backup.backup_platform import BackupPlatform
from jobs.kinds.backup.forget_backup import ForgetBackup
from jobs.kinds.backup.forget_database import ForgetDatabase
from jobs.kinds.backup.restore import RestoreProject
from jobs.kinds.backup.retain_backups import RetainBackups
from jobs.kinds.backup.undo_restore import UndoRestore
from jobs.kinds.backup.verify_backup import VerifyBackup
from jobs.kinds.backup.verify_fleet import VerifyFleet
from jobs.kinds.platform import prune, rewrap_secrets, vacuum_platform
from jobs.kinds.project import delete, migrate, rotate_secret, rotate_signing_key, sleep, wake
from jobs.kinds.project.configure import ConfigureProject
from jobs.kinds.project.extension import ExtendProject
from jobs.kinds.project.import_users import ImportUsers
from jobs.kinds.project.pause import PauseProject
from jobs.kinds.project.provision import ProvisionProject
from jobs.kinds.project.reconcile import ReconcileProject
from jobs.kinds.project.restart import RestartProject
from jobs.kinds.project.resume import ResumeProject
from jobs.kinds.project.update_keys import UpdateKeys
from jobs.kinds.project.vacuum import VacuumProject
from tests.crash.carrying import damage
from tests.crash.place import Place
from tests.fixtures.projects import add_project

if TYPE_CHECKING:
    from collections.abc import Callable

PASSPHRASE = "a passphrase that is long enough"


@dataclass(frozen=True)
class Case:
    """One thing to do.

    begin  brings a place to it, returns the arguments and the project that it is about
    rare   its kind's places are tried by another case, or a file of their own, in every run
    """

    name: str
    kind: Any
    begin: Callable[[Place], tuple[Any, str]]
    bare: bool = False
    backed_up: bool = False
    gpg: bool = False
    rare: bool = False

    @property
    def marks(self) -> tuple[pytest.MarkDecorator, ...]:
        """What it needs of the machine."""
        return (pytest.mark.gpg,) if self.gpg or self.backed_up else ()

    def place(self, settings, infra) -> Place:
        return Place(settings, infra, bare=self.bare, backed_up=self.backed_up)


CASES: dict[str, Case] = {}


def case(kind, *, bare: bool = False, backed_up: bool = False, gpg: bool = False, rare: bool = False):
    """Make a case of what a function begins; it is called as that is."""

    def register(begin):
        CASES[begin.__name__] = Case(begin.__name__, kind, begin, bare, backed_up, gpg, rare)
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
    rare = kind in (ConfigureProject, migrate.MigrateProject)
    return case(kind, gpg=kind is BackupProject, rare=rare)(begin)


for _kind, *_more in (
    (PauseProject,), (RestartProject,), (ConfigureProject,), (VacuumProject,), (ExtendProject, "pgcrypto"), (BackupProject,),
    (migrate.MigrateProject,), (UpdateKeys,),
):  # fmt: skip
    _plainly(_kind, *_more)


@case(delete.DeleteProject, gpg=True)
def delete_(place):
    place.set_status("deleting")
    return delete.DeleteProject(place.id), place.id


@case(delete.DeleteProject, backed_up=True, rare=True)
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


@case(rotate_secret.RotateSecret, rare=True)
def rotate_passwords(place):
    return rotate_secret.RotateSecret(place.id, "databasePassword"), place.id


@case(rotate_secret.RotateSecret, rare=True)
def rotate_keys(place):
    return rotate_secret.RotateSecret(place.id, "jwtSecret", 3600), place.id


@case(rotate_signing_key.RotateSigningKey, rare=True)
def another_signing_key(place):
    return rotate_signing_key.RotateSigningKey(place.id, "ES256"), place.id


@case(migrate.MigrateProject, rare=True)
def apply_owners_migration(place):
    wanted = owner_migrations.NewOwnerMigration(
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


@case(RestoreProject, backed_up=True, rare=True)
def restore_again(place):
    """There is a database of before an earlier restore."""
    place.run(RestoreProject(place.id, place.backup.id))
    return restore(place)


@case(RestoreProject, backed_up=True, rare=True)
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


@case(export.ExportProject, gpg=True, rare=True)
def export_(place):
    with place.infra.database.transaction() as tx:
        kept = job_secrets.store(tx, place.infra.vault, PASSPHRASE)
    return export.ExportProject(place.id, kept), place.id


@case(import_.ImportProject, gpg=True, rare=True)
def import_as_new(place):
    arguments, _ = export_(place)
    job, folder = place.run(arguments), place.settings.imports_folder
    folder.mkdir(mode=0o700, exist_ok=True)
    shutil.move(exports.path_of(place.settings.exports_folder, place.id, job.id), folder / "shop.gpg")
    with place.infra.database.transaction() as tx:
        kept = job_secrets.store(tx, place.infra.vault, PASSPHRASE)
        owner = tx.value("SELECT owner_id FROM projects WHERE id = %s", (place.id,))
        project = projects.create(tx, owner, name="copy", pool_size=5, quota=0).id
        projects.mark_restoring(tx, project)
    place.others.append(project)
    return import_.ImportProject(project, "shop.gpg", "sql.gz", kept), project


@case(ImportUsers, rare=True)
def import_users(place):
    folder = place.settings.imports_folder
    folder.mkdir(mode=0o700, exist_ok=True)
    rows = "".join(f"{UUID(int=number)}\tuser-{number}@example.org\n" for number in range(1, 1201))
    (folder / "auth.sql").write_text(f"COPY auth.users (id, email) FROM stdin;\n{rows}\\.\n")
    return ImportUsers(place.id, "auth.sql"), place.id


@case(prune.PrunePlatform, rare=True)
def prune_platform(place):
    return prune.PrunePlatform(), place.id


@case(vacuum_platform.VacuumPlatform, rare=True)
def vacuum_of_platform(place):
    return vacuum_platform.VacuumPlatform(), place.id


@case(rewrap_secrets.RewrapSecrets, rare=True)
def rewrap(place):
    return rewrap_secrets.RewrapSecrets(), place.id
