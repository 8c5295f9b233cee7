"""Killed at every place of every step, each kind ends as an undisturbed run does, and leaks nothing."""

from __future__ import annotations

import time

import psycopg
import pytest

from catalog import inventory, names
from jobs import kind as kinds
from jobs import view
from jobs.crash import EXIT_STATUS
from jobs.enqueue import enqueue
from jobs.kinds.configure import ConfigureProject
from jobs.kinds.delete import DeleteProject
from jobs.kinds.extension import ExtendProject
from jobs.kinds.mail import SendMail
from jobs.kinds.migrate import MigrateProject
from jobs.kinds.migrate_fleet import MigrateFleet
from jobs.kinds.pause import PauseProject
from jobs.kinds.provision import ProvisionProject
from jobs.kinds.reconcile import ReconcileProject
from jobs.kinds.restart import RestartProject
from jobs.kinds.resume import ResumeProject
from jobs.kinds.vacuum import VacuumProject
from jobs.lease import Leases
from jobs.runner import Runner
from jobs.table import find
from jobs.worker import Liveness
from tests.crash.attempts import attempt_in_a_process
from tests.crash.places import places
from tests.fixtures.beats import beating
from tests.fixtures.projects import add_project, drop, keep_master_key, stored_tenant

# What changes a project's life, and what has to be done to a fresh one before.
LIFE = {
    ConfigureProject: (),
    PauseProject: (),
    ResumeProject: (PauseProject,),
    RestartProject: (),
    ReconcileProject: (),
    VacuumProject: (),
    ExtendProject: (),
}


# How long a worker that found nothing goes on looking.
LOOK_SECONDS = 10.0
# Arguments besides the project.
MORE = {ExtendProject: ("pgcrypto",)}


def write(infra, arguments):
    with infra.database.transaction() as tx:
        return enqueue(tx, arguments)


def pass_on(infra) -> None:
    """What the reaper does once it finds the worker dead, without the wait for it (tested with the reaper)."""
    with infra.database.transaction() as tx:
        for row in tx.rows("SELECT id, fence FROM jobs WHERE status IN ('running', 'cancelling')"):
            tx.rows(
                "SELECT * FROM release_job(%s, %s, 'queued', '0', true, NULL, NULL, NULL, NULL, NULL)",
                (row["id"], row["fence"]),
            )


def run_to_the_end(settings, infra, job, crash: str = "") -> None:
    """Run a job in processes of its own: one that dies at the crash point, then one that lives."""
    if crash:
        assert attempt_in_a_process(settings, crash=crash) == EXIT_STATUS, "the crash point was not reached"
        pass_on(infra)
    assert attempt_in_a_process(settings) == 0
    with infra.database.autocommit() as tx:
        assert find(tx, job.id).status == "succeeded"


def seen(infra, project: str) -> list[tuple[str, str, str]]:
    """The inventory of a project, its id left out so that two projects can be compared."""
    with infra.database.autocommit() as tx:
        things = inventory.of_project(inventory.take(tx, infra), project)
    return [(thing.kind, thing.name.replace(project, "<id>"), thing.verdict) for thing in things]


def ledger(infra, project: str) -> list[tuple[str, str, str]]:
    with infra.database.autocommit() as tx:
        rows = tx.rows("SELECT kind, name, state FROM resources WHERE project_id = %s ORDER BY 1, 2", (project,))
    return [(row["kind"], row["name"].replace(project, "<id>"), row["state"]) for row in rows]


def steps(infra, job) -> dict[str, str]:
    with infra.database.autocommit() as tx:
        rows = tx.rows("SELECT name, status FROM job_steps WHERE job_id = %s ORDER BY position", (job.id,))
    return {row["name"]: row["status"] for row in rows}


@pytest.fixture
def installation(settings, infra):
    """An installation with its master key and template."""
    keep_master_key(settings)
    infra.databases.ensure_shared_roles("test")
    infra.databases.templates.ensure("test")
    # Without a worker that has said what it serves, no steps are pinned and none would be skipped.
    liveness = Liveness(infra.database, name="here", queues=["control", "bulk"], threads=1, heard=str)
    liveness.take()
    yield infra
    liveness.stop()


def provisioned(settings, infra, crash: str = "") -> tuple[str, object]:
    project = add_project(infra)
    job = write(infra, ProvisionProject(project))
    run_to_the_end(settings, infra, job, crash)
    return project, job


@pytest.fixture(scope="module")
def undisturbed():
    """What an undisturbed run left, found once."""
    return {}


def expected(undisturbed, settings, infra, what: str):
    if what not in undisturbed:
        project, job = provisioned(settings, infra)
        undisturbed["provision"] = (seen(infra, project), ledger(infra, project), steps(infra, job))
        if what == "provision":
            drop(infra, project)
            return undisturbed[what]
        job = write(infra, DeleteProject(project))
        mark_deleting(infra, project)
        run_to_the_end(settings, infra, job)
        undisturbed["delete"] = (seen(infra, project), ledger(infra, project), steps(infra, job))
    return undisturbed[what]


def mark_deleting(infra, project: str) -> None:
    with infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET status = 'deleting' WHERE id = %s", (project,))


def status(infra, project: str) -> str:
    with infra.database.autocommit() as tx:
        return tx.value("SELECT status FROM projects WHERE id = %s", (project,))


@pytest.mark.parametrize("crash", places(ProvisionProject))
def test_a_killed_provision_resumes_and_ends_the_same(crash, settings, installation, undisturbed):
    wanted = expected(undisturbed, settings, installation, "provision")
    project, job = provisioned(settings, installation, crash)
    try:
        assert (seen(installation, project), ledger(installation, project), steps(installation, job)) == wanted
        assert status(installation, project) == "active"
        tenant = stored_tenant(installation, project)
        with tenant.connect(names.roles(project).owner) as owner:
            owner.execute("CREATE TABLE notes (id int)")
    finally:
        drop(installation, project)


@pytest.mark.gpg
@pytest.mark.parametrize("crash", places(DeleteProject))
def test_a_killed_delete_resumes_and_leaves_nothing(crash, settings, installation, undisturbed):
    wanted = expected(undisturbed, settings, installation, "delete")
    project, _job = provisioned(settings, installation)
    try:
        mark_deleting(installation, project)
        job = write(installation, DeleteProject(project))
        run_to_the_end(settings, installation, job, crash)
        assert (seen(installation, project), ledger(installation, project), steps(installation, job)) == wanted
        assert seen(installation, project) == []
        assert status(installation, project) == "deleted"
        with psycopg.connect(installation.database.conninfo) as admin:
            left = admin.execute(
                "SELECT datname FROM pg_database WHERE datname LIKE %(like)s"
                " UNION ALL SELECT rolname FROM pg_roles WHERE rolname LIKE %(like)s",
                {"like": f"{project}%"},
            ).fetchall()
        assert left == []
    finally:
        drop(installation, project)


def run_here(infra, job) -> None:
    """Run what waits in this process, which is quicker than starting another that will not die."""
    leases = Leases(infra.database, infra.settings, worker="here")
    runner = Runner(infra, leases, worker="here", queues=["control", "bulk"], serves=sorted(kinds.kinds()))
    looked_until = time.monotonic() + LOOK_SECONDS
    with beating(leases):
        runner.drain()
        # A worker whose claim found nothing looks again, and a job that waits says for what.
        while (told := shown(infra, job))["status"] == "queued" and time.monotonic() < looked_until:
            time.sleep(0.1)
            runner.drain()
    assert told["status"] == "succeeded", told


def shown(infra, job) -> dict:
    """The job as people see it."""
    with infra.database.autocommit() as tx:
        return view.show(tx, job.id)


def prepare(settings, infra, before: tuple[type, ...]) -> str:
    """A provisioned project to which these have been done."""
    project = add_project(infra)
    for kind in (ProvisionProject, *before):
        run_here(infra, write(infra, kind(project)))
    return project


def damage(infra, project: str) -> None:
    """Change by hand what a reconcile has to put right."""
    with psycopg.connect(infra.database.conninfo, autocommit=True) as admin:
        admin.execute(f'GRANT CONNECT ON DATABASE "{project}" TO PUBLIC')
        admin.execute(f"ALTER ROLE \"{project}_owner\" CREATEDB PASSWORD 'x'")
    with psycopg.connect(infra.database.conninfo, dbname=project, autocommit=True) as admin:
        admin.execute("DROP FUNCTION auth.email()")
        admin.execute("ALTER TABLE storage.objects DISABLE ROW LEVEL SECURITY")
    infra.instances.remove(project)


def world(infra, project: str) -> tuple:
    """Everything that a kind may change of a project, its id left out."""
    seen_rights = {}
    with infra.database.autocommit() as tx:
        for row in tx.rows(
            "SELECT grantee::regrole::text AS who, privilege_type FROM pg_database, aclexplode(datacl) WHERE datname = %s",
            (project,),
        ):
            seen_rights.setdefault(row["who"].replace(project, "<id>"), set()).add(row["privilege_type"])
    secrets = stored_tenant(infra, project).passwords
    served = (infra.settings.instances_folder / project / "data-api.conf").exists()
    with psycopg.connect(infra.database.conninfo, dbname=project) as admin:
        extensions = admin.execute("SELECT extname FROM pg_extension ORDER BY 1").fetchall()
        secured = "SELECT to_regproc('auth.email')::text, relrowsecurity FROM pg_class WHERE oid = 'storage.objects'::regclass"
        ours = admin.execute(secured).fetchall()
    things = seen(infra, project), ledger(infra, project), seen_rights
    return status(infra, project), *things, served, len(secrets), extensions, ours


@pytest.mark.parametrize(
    ("arguments", "crash"),
    [place for kind in LIFE for place in places(kind, kind)],
)
def test_a_killed_change_of_a_projects_life_resumes_and_ends_the_same(
    arguments, crash, settings, installation, undisturbed
):
    projects = []
    try:
        if arguments not in undisturbed:
            projects.append(prepare(settings, installation, LIFE[arguments]))
            job = write(installation, arguments(projects[0], *MORE.get(arguments, ())))
            run_here(installation, job)
            undisturbed[arguments] = (world(installation, projects[0]), steps(installation, job))
        projects.append(prepare(settings, installation, LIFE[arguments]))
        passwords = stored_tenant(installation, projects[-1]).passwords
        if arguments is ReconcileProject:
            damage(installation, projects[-1])
        if arguments is ConfigureProject:
            installation.instances.remove(projects[-1])
        job = write(installation, arguments(projects[-1], *MORE.get(arguments, ())))
        assert attempt_in_a_process(settings, crash=crash) == EXIT_STATUS, "the crash point was not reached"
        pass_on(installation)
        run_here(installation, job)
        assert (world(installation, projects[-1]), steps(installation, job)) == undisturbed[arguments]
        assert stored_tenant(installation, projects[-1]).passwords == passwords
    finally:
        for project in projects:
            drop(installation, project)


def test_every_kind_is_in_the_matrix():
    built = {declared.name for declared in kinds.kinds().values() if not declared.name.startswith("trial.")}
    migrating = {MigrateProject.kind.name, MigrateFleet.kind.name}  # tests/crash/test_migrations.py
    mail = SendMail.kind.name  # tests/crash/test_mail.py
    assert built == {
        "project.provision",
        "project.delete",
        mail,
        "fleet.vacuum",  # tests/crash/test_maintenance.py
        "fleet.rotate",  # tests/crash/test_rotation.py
        "project.rotate_secret",
        "project.retire_secret",
        "project.sleep",  # tests/crash/test_sleep.py
        "project.wake",
        "project.export",  # tests/jobs/kinds/test_transfers.py
        "project.import",
        "platform.offsite_sync",  # tests/jobs/kinds/test_offsite.py
        "platform.rotate_secret",  # tests/crash/test_platform_secrets.py
        "platform.retire_secret",
        "platform.rewrap_secrets",
        "project.backup",  # tests/crash/test_backups.py
        "project.verify_backup",
        "project.restore",
        "project.undo_restore",
        "project.forget_database",
        "project.forget_backup",
        "platform.backup",
        "platform.retention",
        "fleet.backup",
        "fleet.verify",
        "platform.prune",
        "platform.vacuum",
        *migrating,
        *(arguments.kind.name for arguments in LIFE),
    }
