"""A tenant that holds up what is done to its project holds up nobody else, and not for long: I3 of the findings.

Locks that are never let go, functions that sleep and catch their own cancellation: in the way of rotate, restart,
migrate and vacuum. Verify has tests of its own (test_cancelled_restores).
"""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from catalog import owner_migrations
from infra.postgres.admin.bounds import SessionBounds
from jobs.engine import commands
from jobs.engine.enqueue import enqueue
from jobs.kinds import DeleteProject, ProvisionProject, VacuumProject
from jobs.requests import lifecycle, migrating
from tests.fixtures.projects import add_project, drop, mark_for_deletion
from tests.jobs.conftest import wait_until

FOREVER = """LOOP BEGIN PERFORM pg_sleep(200); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP"""
SLOW_TRIGGER = f"""
CREATE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {FOREVER}; RETURN NEW; END $$;
CREATE TRIGGER hold BEFORE INSERT ON storage.buckets FOR EACH ROW EXECUTE FUNCTION public.hold()"""
SLOW_INDEX = f"""
CREATE FUNCTION public.hold(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN n; END $$;
CREATE TABLE public.tar AS SELECT generate_series(1, 100) AS n;
CREATE INDEX ON public.tar (public.hold(n));
CREATE OR REPLACE FUNCTION public.hold(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN {FOREVER}; RETURN n; END $$"""


def migrate(tx, project):
    text = f"DO $$ BEGIN {FOREVER}; END $$"
    wanted = owner_migrations.NewOwnerMigration(version="20260101000000", name="slow", sql=text, timeout_ms=3_600_000)
    migration = owner_migrations.submit(tx, project, wanted)
    return migrating.request_owner_migration(tx, migration)


WAYS = {
    "restart": (SLOW_TRIGGER, lifecycle.restart),
    "migrate": ("SELECT 1", migrate),
    "vacuum": (SLOW_INDEX, lifecycle.vacuum),
}


def asleep(life) -> bool:
    with life.infra.databases.cluster.session("test") as admin:
        row = admin.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event = 'PgSleep'", (life.id,)
        ).fetchone()
    return bool(row[0])


@pytest.fixture
def other(infra, life):
    """Somebody else's project, yet to be made."""
    made = add_project(infra)
    yield made
    drop(infra, made)


@contextmanager
def held_up(life, way):
    """Have a job of the project be at work in what its owner has laid in the way."""
    laid, ask = WAYS[way]
    life.provision()
    tenant = life.tenant()
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute(laid)
    with life.infra.database.transaction() as tx:
        job = ask(tx, life.id)
    running = life.engine.in_background()
    wait_until(lambda: asleep(life))
    yield job
    running.join(30)
    assert not running.is_alive()


@pytest.mark.parametrize("way", WAYS)
def test_a_job_that_a_tenants_function_holds_up_is_cancelled_while_others_go_on(life, other, way):
    with held_up(life, way) as job:
        for arguments in (ProvisionProject(other), VacuumProject(other)):
            others = life.engine.enqueue(arguments)
            life.engine.runner.drain()
            assert life.engine.job(others.id).status == "succeeded"
        with life.infra.database.transaction() as tx:
            commands.cancel(tx, job.id, by="test")
    assert life.engine.job(job.id).status == "cancelled"
    assert not asleep(life)


@pytest.mark.parametrize("way", WAYS)
def test_a_project_is_deleted_although_a_tenants_function_holds_up_a_job_of_its(life, way):
    with held_up(life, way):
        delete(life)


def delete(life):
    with life.infra.database.transaction() as tx:
        mark_for_deletion(tx, life.id)
        job = enqueue(tx, DeleteProject(life.id, purge=True))
    wait_until(lambda: life.engine.runner.drain() and life.engine.job(job.id).final)
    assert life.engine.job(job.id).status == "succeeded"


@pytest.fixture
def login_held(life):
    """An owner that has changed its login's password in a transaction which it leaves open."""
    life.provision()
    tenant = life.tenant()
    # The real one is longer than a test should wait.
    life.infra.databases.cluster._bounds = SessionBounds(lock_seconds=2.5, statement_seconds=60)
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("SET idle_in_transaction_session_timeout = 0")
        owner.execute("BEGIN")
        owner.execute(f"ALTER ROLE \"{tenant.roles.owner}\" PASSWORD 'another'")
        yield owner
        owner.close()


def test_a_rotation_says_who_holds_what_it_waits_for_and_goes_on_when_it_is_let_go(life, login_held):
    with life.infra.database.transaction() as tx:
        job = lifecycle.rotate(tx, life.id, "databasePassword", 0)
    life.engine.runner.run_one()
    seen = life.engine.job(job.id)
    assert seen.status == "retrying"
    assert seen.error["detail"] == f"it waits for a lock that a session of the project ({life.id}_owner) holds"
    login_held.execute("ROLLBACK")
    life.engine.due_now(job.id)
    life.engine.runner.drain()
    assert life.engine.job(job.id).status == "succeeded"


def test_a_rotation_that_its_own_tenant_never_lets_go_on_fails_in_words_and_can_be_retried(life, login_held):
    with life.infra.database.transaction() as tx:
        job = lifecycle.rotate(tx, life.id, "databasePassword", 0)
    for _ in range(20):
        life.engine.runner.run_one()
        if life.engine.job(job.id).status != "retrying":
            break
        life.engine.due_now(job.id)
    seen = life.engine.job(job.id)
    assert seen.status == "failed"
    assert f"it waits for a lock that a session of the project ({life.id}_owner) holds" in seen.error["detail"]
    login_held.execute("ROLLBACK")
    with life.infra.database.transaction() as tx:
        commands.retry(tx, job.id)
    life.engine.runner.drain()
    assert life.engine.job(job.id).status == "succeeded"


def test_a_project_is_deleted_whatever_its_owner_holds(life, login_held):
    with life.infra.database.transaction() as tx:
        lifecycle.rotate(tx, life.id, "databasePassword", 0)
    life.engine.runner.run_one()  # past its point of no return, and now in back-off
    delete(life)


def test_a_project_is_paused_whatever_its_owner_holds(life, login_held):
    job = life.ask(lifecycle.pause)
    assert (job.status, job.attempt) == ("succeeded", 1)
