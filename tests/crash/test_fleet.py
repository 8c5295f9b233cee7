"""A fleet with two that cannot and a worker that is killed: the others are done, and the two alone are tried again."""

from __future__ import annotations

import psycopg
import pytest

from catalog import names, secrets
from infra.postgres.project_roles import LABEL
from jobs.engine import view
from jobs.engine.commands import retry
from jobs.kinds import ProvisionProject, RotateFleet
from tests.fixtures.projects import add_project, drop, keep_master_key, stored_tenant
from tests.jobs.conftest import Engine, wait_until
from tests.workers.conftest import processes

__all__ = ["processes"]
SECONDS = 120


@pytest.fixture(params=[12, pytest.param(50, marks=pytest.mark.full)])
def projects(settings, infra, request):
    """Provisioned projects: a dozen, and in the long campaign fifty."""
    keep_master_key(settings)
    made = [add_project(infra) for _ in range(request.param)]
    engine = Engine(infra)
    for project in made:
        engine.enqueue(ProvisionProject(project))
    engine.runner.drain()
    engine.close()
    yield made
    for project in made:
        drop(infra, project)


def passwords(infra, projects):
    with infra.database.autocommit() as tx:
        known = secrets.read_scopes(tx, infra.vault, projects)
    return {project: known[project][names.password(names.roles(project).owner)] for project in projects}


def label(infra, project, text):
    with psycopg.connect(infra.database.conninfo, autocommit=True) as admin:
        admin.execute(f"COMMENT ON ROLE \"{names.roles(project).owner}\" IS '{text}'")


def children(infra, job):
    with infra.database.autocommit() as tx:
        rows = tx.rows("SELECT project_id, status, finished_at FROM jobs WHERE parent_id = %s", (job.id,))
    return {row["project_id"]: row for row in rows}


def shown(infra, job):
    with infra.database.autocommit() as tx:
        return view.show_job(tx, job.id)


def test_all_others_are_done_and_the_two_are_named_and_tried_again_alone(processes, infra, projects):
    before, two = passwords(infra, projects), sorted(projects)[4:6]
    for project in two:
        label(infra, project, "of somebody else")  # a role that is not ours is not changed
    workers = [processes.worker() for _ in range(2)]
    processes.start("scheduler")
    job = processes.enqueue(RotateFleet("databasePassword"))
    wait_until(
        lambda: sum(row["status"] == "succeeded" for row in children(infra, job).values()) >= len(projects) // 6,
        SECONDS,
    )
    midway = shown(infra, job)
    assert midway["waitingFor"]["reason"] == "children"
    assert midway["children"]["total"] == len(projects)
    workers[0].kill()
    ended = processes.finished(job.id, SECONDS)
    assert ended.status == "failed"
    facts = ended.error or {}
    assert f"2 of {len(projects)} projects" in facts["detail"]
    assert sorted(failed["projectId"] for failed in facts["failed"]) == two
    assert all("not ours" in failed["reason"] for failed in facts["failed"])
    done = children(infra, job)
    assert {project for project, row in done.items() if row["status"] == "succeeded"} == set(projects) - set(two)
    now = passwords(infra, projects)
    assert {project for project in projects if now[project] != before[project]} == set(projects) - set(two)
    # What was in their way is put right; the same job goes on with them alone.
    for project in two:
        label(infra, project, LABEL + project)
    with infra.database.transaction() as tx:
        retry(tx, job.id)
    assert processes.finished(job.id, SECONDS).status == "succeeded"
    again = children(infra, job)
    assert {row["status"] for row in again.values()} == {"succeeded"}
    assert {project for project in projects if again[project]["finished_at"] != done[project]["finished_at"]} == set(
        two
    )
    for project in projects:
        stored_tenant(infra, project).connect(names.roles(project).owner).close()
    assert shown(infra, job)["result"] == {"rotated": len(projects), "failed": []}
