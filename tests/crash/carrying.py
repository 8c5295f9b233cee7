"""An installation without workers of its own, the jobs that tests carry through it, and what is seen of them."""

from __future__ import annotations

import time

import psycopg
import pytest

from catalog import inventory
from jobs.engine import kind as kinds
from jobs.engine import view
from jobs.engine.enqueue import enqueue
from jobs.engine.lease import Leases
from jobs.engine.runner import Runner
from jobs.engine.worker import Liveness
from jobs.kinds.project.configure import ConfigureProject
from jobs.kinds.project.extension import ExtendProject
from jobs.kinds.project.pause import PauseProject
from jobs.kinds.project.provision import ProvisionProject
from jobs.kinds.project.reconcile import ReconcileProject
from jobs.kinds.project.restart import RestartProject
from jobs.kinds.project.resume import ResumeProject
from jobs.kinds.project.vacuum import VacuumProject
from tests.fixtures.beats import beating
from tests.fixtures.projects import add_project, keep_master_key, mark_for_deletion

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


def due_now(infra, job_id: str) -> None:
    """Have a back-off be over."""
    with infra.database.autocommit() as tx:
        tx.execute("UPDATE jobs SET run_at = now(), claim_after = now() WHERE id = %s", (job_id,))


def seen(infra, project: str) -> list[tuple[str, str, str]]:
    """The inventory of a project, its id left out so that two projects can be compared."""
    with infra.database.autocommit() as tx:
        things = inventory.of_project(inventory.take_inventory(tx, infra), project)
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


def mark_deleting(infra, project: str) -> None:
    with infra.database.autocommit() as tx:
        mark_for_deletion(tx, project)


def status(infra, project: str) -> str:
    with infra.database.autocommit() as tx:
        return tx.value("SELECT status FROM projects WHERE id = %s", (project,))


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
        return view.show_job(tx, job.id)


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
