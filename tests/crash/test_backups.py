"""Killed at every place, backups, their proof, their return and their end come out as undisturbed ones do."""

from __future__ import annotations

import re
import time
from pathlib import Path

import psycopg
import pytest

from catalog import backups, names
from jobs.crash import EXIT_STATUS
from jobs.kinds.backup import BackupProject
from jobs.kinds.backup_fleet import BackupFleet
from jobs.kinds.backup_platform import BackupPlatform
from jobs.kinds.forget_backup import ForgetBackup
from jobs.kinds.forget_database import ForgetDatabase
from jobs.kinds.provision import ProvisionProject
from jobs.kinds.restore import RestoreProject
from jobs.kinds.retain_backups import RetainBackups
from jobs.kinds.undo_restore import UndoRestore
from jobs.kinds.verify_backup import VerifyBackup
from jobs.kinds.verify_fleet import VerifyFleet
from tests.crash.attempts import Attempt, attempt_in_a_process
from tests.crash.places import places
from tests.crash.test_matrix import installation, ledger, pass_on, run_here, seen, status, steps, write
from tests.fixtures.projects import add_project, drop, stored_tenant

pytestmark = pytest.mark.gpg

__all__ = ["installation"]
STEM = re.compile(r"(proj_[0-9a-f]{16}|platform)_[0-9]{8}_[0-9]{6}")


class Place:
    """A project with rows and a backup, on which a job is tried."""

    def __init__(self, settings, infra):
        self.settings, self.infra = settings, infra
        self.id = add_project(infra)
        self.others = []
        self.run(ProvisionProject(self.id))
        self.sql("CREATE TABLE notes AS SELECT n FROM generate_series(1, 100) n")
        self.job = self.run(BackupProject(self.id))
        with infra.database.autocommit() as tx:
            self.backup = backups.of_job(tx, self.job.id)

    def sql(self, statement):
        tenant = stored_tenant(self.infra, self.id)
        with tenant.connect(tenant.roles.owner) as owner:
            owner.execute(statement)

    def run(self, arguments):
        job = write(self.infra, arguments)
        run_here(self.infra, job)
        return job

    def world(self, project):
        with psycopg.connect(self.infra.database.conninfo) as admin:
            found = admin.execute(
                "SELECT 'database', datname FROM pg_database WHERE datname LIKE %(like)s"
                " UNION ALL SELECT 'role', rolname FROM pg_roles WHERE rolname LIKE %(like)s ORDER BY 1, 2",
                {"like": f"{project}%"},
            ).fetchall()
        outside = [(kind, name.replace(project, "<id>")) for kind, name in found]
        try:
            with psycopg.connect(self.infra.database.conninfo, dbname=project) as admin:
                rows = admin.execute("SELECT count(*) FROM public.notes").fetchone()
                rights = admin.execute("SELECT relacl::text FROM pg_class WHERE relname = 'notes'").fetchone()
        except psycopg.OperationalError:
            rows, rights = None, None
        files = sorted(STEM.sub("<set>", path.name) for path in self.settings.backups_folder.iterdir())
        with self.infra.database.autocommit() as tx:
            listed = [bool(row.verified_at) for row in backups.page(tx, project, before=None, limit=50)]
            begun = tx.value("SELECT count(*) FROM backups WHERE finished_at IS NULL")
            kept = tx.value("SELECT count(*) FROM kept_databases WHERE project_id = %s", (project,))
        told = str(rights).replace(project, "<id>")
        things = seen(self.infra, project), ledger(self.infra, project), status(self.infra, project)
        return outside, rows, told, files, listed, begun, kept, things

    def close(self):
        for project in (self.id, *self.others):
            with self.infra.databases.cluster.session("test") as admin:
                for use in names.BESIDE:
                    admin.execute(f'DROP DATABASE IF EXISTS "{project}_{use}" WITH (FORCE)')
            drop(self.infra, project)


def backup(place):
    return BackupProject(place.id), place.id


def verify(place):
    return VerifyBackup(place.id, place.backup.id), place.id


def restore(place):
    place.sql("DELETE FROM notes WHERE n > 50")
    return RestoreProject(place.id, place.backup.id), place.id


def restore_again(place):
    """There is a database of before an earlier restore."""
    place.run(RestoreProject(place.id, place.backup.id))
    return restore(place)


def restore_as_new(place):
    place.others.append(add_project(place.infra, status="restoring"))
    return RestoreProject(place.others[0], place.backup.id), place.others[0]


def undo(place):
    arguments, _ = restore(place)
    place.run(arguments)
    return UndoRestore(place.id), place.id


def forget(place):
    arguments, _ = restore(place)
    job = place.run(arguments)
    return ForgetDatabase(place.id, job.id), place.id


def forget_one(place):
    return ForgetBackup(place.id, place.backup.id), place.id


def platform(place):
    return BackupPlatform(), place.id


def fleet(place):
    return BackupFleet(), place.id


def verify_all(place):
    return VerifyFleet(), place.id


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


CASES = {
    backup: BackupProject,
    verify: VerifyBackup,
    restore: RestoreProject,
    restore_again: RestoreProject,
    restore_as_new: RestoreProject,
    undo: UndoRestore,
    forget: ForgetDatabase,
    forget_one: ForgetBackup,
    platform: BackupPlatform,
    fleet: BackupFleet,
    verify_all: VerifyFleet,
    retain: RetainBackups,
}


@pytest.fixture(scope="module")
def undisturbed():
    return {}


@pytest.mark.parametrize(
    ("case", "crash"),
    [place for case, kind in CASES.items() for place in places(kind, case, name=f"{case.__name__}-")],
)
def test_a_killed_job_about_backups_resumes_and_ends_the_same(case, crash, settings, installation, undisturbed):
    made = []
    try:
        if case not in undisturbed:
            made.append(Place(settings, installation))
            arguments, project = case(made[-1])
            job = made[-1].run(arguments)
            undisturbed[case] = (made[-1].world(project), steps(installation, job))
            made.pop().close()
            forget_all(settings, installation)
        made.append(Place(settings, installation))
        arguments, project = case(made[-1])
        job = write(installation, arguments)
        # A parent, its children, the parent again: it dies in one of its turns.
        codes = [attempt_in_a_process(settings, crash=crash)]
        while codes[-1] != EXIT_STATUS and len(codes) < 4:
            codes.append(attempt_in_a_process(settings, crash=crash))
        assert codes[-1] == EXIT_STATUS, "the crash point was not reached"
        pass_on(installation)
        run_here(installation, job)
        assert (made[-1].world(project), steps(installation, job)) == undisturbed[case]
    finally:
        for place in made:
            place.close()


def forget_all(settings, infra):
    for path in settings.backups_folder.iterdir():
        path.unlink()
    with infra.database.autocommit() as tx:
        tx.execute("DELETE FROM backups")
        tx.execute("UPDATE projects SET status = 'deleted'")


@pytest.mark.parametrize("case", [backup, verify, restore])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_one_killed_in_the_middle_of_its_work_leaves_no_trace(case, share, settings, installation):
    """Kill -9 while the programs of the pipe run: they die with their worker."""
    place = Place(settings, installation)
    try:
        place.sql("CREATE TABLE ballast AS SELECT n, repeat(md5(n::text), 30) AS t FROM generate_series(1, 60000) n")
        place.job = place.run(BackupProject(place.id))
        with installation.database.autocommit() as tx:
            place.backup = backups.of_job(tx, place.job.id)
        arguments, project = case(place)
        before = place.world(project)
        job = write(installation, arguments)
        began = time.monotonic()
        attempt_alone(settings)
        whole = time.monotonic() - began
        run_here(installation, job)
        expected = place.world(project)
        arguments, _ = case(place)
        job = write(installation, arguments)
        with Attempt(settings) as process:
            time.sleep(share * whole)
            process.kill()
        assert wait_for_no_programs(str(settings.home), job.id)
        end_sessions(installation, job)
        pass_on(installation)
        run_here(installation, job)
        found = place.world(project)
        assert found[0] == expected[0]
        assert (found[1], found[5]) == (expected[1], 0)
        assert not [name for name in found[3] if name.startswith(".")]
        assert before[0][0] == found[0][0]
    finally:
        place.close()


def end_sessions(infra, job):
    """What the reaper does before the job runs again (tested with the reaper)."""
    with psycopg.connect(infra.database.conninfo, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name LIKE %s",
            (f"launchdb:{job.id}:%",),
        )


def attempt_alone(settings):
    with Attempt(settings) as process:
        assert process.wait() == 0


def wait_for_no_programs(*marks, seconds=10.0):
    """Wait until no program runs whose arguments name this installation or this job."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(is_ours(entry, marks) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
            return True
        time.sleep(0.05)
    return False


def is_ours(entry, marks):
    try:
        words = (entry / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return False
    program = Path(words.partition("\0")[0]).name
    return program in ("pg_dump", "gpg", "gpg-agent") and any(mark in words for mark in marks)
