"""fleet.migrate: those that are behind are brought on, the failed ones named and tried again alone."""

from __future__ import annotations

import pytest

from catalog import names
from jobs.engine import table, view
from jobs.engine.commands import retry
from jobs.kinds import MigrateFleet, ProvisionProject
from tests.fixtures.projects import add_project, drop, stored_tenant
from tests.fixtures.successor import NEXT
from tests.jobs.conftest import Engine


@pytest.fixture
def next_engine(newer):
    """A worker of the newer program."""
    made = Engine(newer)
    yield made
    made.close()


@pytest.fixture
def projects(engine, infra, master_key):
    """Five projects that the older program made."""
    made = [add_project(infra) for _ in range(5)]
    for project in made:
        engine.enqueue(ProvisionProject(project))
    engine.runner.drain()
    yield made
    for project in made:
        drop(infra, project)


def migrated(engine, **arguments):
    job = engine.enqueue(MigrateFleet(**arguments))
    engine.runner.drain()
    return shown(engine, job)


def shown(engine, job):
    with engine.infra.database.autocommit() as tx:
        return view.show_job(tx, job.id if hasattr(job, "id") else job["id"])


def stands_in_the_way(infra, project, *, gone=False):
    tenant = stored_tenant(infra, project)
    with tenant.connect(names.roles(project).owner) as owner:
        owner.execute("DROP TABLE public.welcome" if gone else "CREATE TABLE public.welcome (mine int)")


def applied(infra, project):
    with stored_tenant(infra, project).as_admin() as admin:
        query = "SELECT count(*) FROM launchdb.schema_migrations WHERE version = %s"
        return admin.execute(query, (NEXT,)).fetchone()[0]


def test_all_that_are_behind_are_brought_on_and_nobody_else(projects, engine, next_engine, newer, infra):
    fresh = add_project(newer)
    next_engine.enqueue(ProvisionProject(fresh))
    next_engine.runner.drain()
    try:
        job = migrated(next_engine)
        assert (job["status"], job["error"]) == ("succeeded", None)
        assert job["result"] == {"migrated": 5, "failed": [], "behind": []}
        assert [applied(infra, project) for project in projects] == [1] * 5
        assert migrated(next_engine)["children"]["total"] == 0
    finally:
        drop(newer, fresh)


def test_failed_ones_are_named_and_resumed_alone(projects, next_engine, infra):
    for project in projects[1:3]:
        stands_in_the_way(infra, project)
    job = migrated(next_engine)
    assert (job["status"], job["error"]["detail"]) == ("failed", "2 of 5 projects could not be migrated")
    assert {one["projectId"] for one in job["error"]["failed"]} == set(projects[1:3])
    assert all("42P07" in one["reason"] for one in job["error"]["failed"])
    assert job["error"]["migrated"] == 3
    assert set(job["error"]["behind"]) == set(projects[1:3])
    for project in projects[1:3]:
        stands_in_the_way(infra, project, gone=True)
    with infra.database.transaction() as tx:
        retry(tx, job["id"])
    next_engine.runner.drain()
    done = shown(next_engine, job)
    assert (done["status"], done["result"]) == ("succeeded", {"migrated": 5, "failed": [], "behind": []})
    assert done["children"] == {"total": 5, "succeeded": 5, "failed": 0, "open": 0}


def test_failures_within_the_budget_are_told_and_do_not_fail_it(projects, next_engine, infra):
    stands_in_the_way(infra, projects[0])
    job = migrated(next_engine, budget=1)
    assert job["status"] == "succeeded"
    assert [one["projectId"] for one in job["result"]["failed"]] == [projects[0]]
    assert job["result"]["behind"] == [projects[0]]


def test_a_project_deleted_meanwhile_is_nobodys_failure_and_in_no_retrys_way(projects, next_engine, infra):
    for project in projects[:2]:
        stands_in_the_way(infra, project)
    job = migrated(next_engine)
    assert len(job["error"]["failed"]) == 2
    with infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET status = 'deleted' WHERE id = %s", (projects[0],))
    stands_in_the_way(infra, projects[1], gone=True)
    with infra.database.transaction() as tx:
        retry(tx, job["id"])
    next_engine.runner.drain()
    assert (shown(next_engine, job)["status"], shown(next_engine, job)["error"]) == ("succeeded", None)


def test_no_more_than_four_are_migrated_at_a_time(projects, next_engine):
    next_engine.enqueue(MigrateFleet())
    next_engine.runner.run_one()
    with next_engine.infra.database.autocommit() as tx:
        tx.execute("UPDATE workers SET threads = 16")
        serves = next_engine.runner.serves
        taken = [
            table.claim(tx, worker=next_engine.name, queues=["control"], served=serves, lease_seconds=9)
            for _ in range(5)
        ]
    assert sum(job is not None for job in taken) == 4


def test_the_older_program_leaves_what_is_ahead_alone(projects, engine, next_engine):
    migrated(next_engine)
    job = migrated(engine)
    assert job["status"] == "succeeded"
    assert job["result"]["failed"] == []
