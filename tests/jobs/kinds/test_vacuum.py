"""project.vacuum: dead rows go, statistics come, and a tenant's own code runs as the tenant."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import replace

import psycopg
import pytest

from catalog.projects import ProjectBusy
from infra.postgres import vacuum
from infra.postgres.limits import KEPT
from infra.postgres.stats import read_stats
from jobs.engine.enqueue import enqueue
from jobs.kinds import BackupProject
from jobs.loops.sweeper import Sweeper
from jobs.requests import lifecycle
from tests.jobs.conftest import wait_until


@pytest.fixture
def owner(life):
    """The owner's session in a project that has something to vacuum."""
    life.provision()
    tenant = life.tenant()
    with tenant.connect(tenant.roles.owner) as session:
        session.execute("CREATE TABLE notes AS SELECT n, repeat('x', 100) AS body FROM generate_series(1, 5000) n")
        session.execute("DELETE FROM notes WHERE n % 2 = 0")
        session.execute("SELECT pg_stat_force_next_flush()")
        session.execute("SELECT 1")
        yield session


def test_dead_rows_are_cleared_away_and_the_result_says_so(life, owner):
    job = life.ask(lifecycle.vacuum)
    assert (job.status, job.error) == ("succeeded", None)
    result = job.result
    assert result["deadRows"]["before"] >= 2500
    assert result["deadRows"]["after"] == 0
    assert result["tablesVacuumed"] > 0
    assert result["tablesLeftOut"] == {}
    assert result["wraparoundAge"] > 0
    assert result["bytes"]["before"] > 1_000_000
    assert "skipped" not in result
    assert owner.execute("SELECT reltuples FROM pg_class WHERE relname = 'notes'").fetchone() == (2500,)


def test_space_that_rows_do_not_need_is_estimated_and_the_worst_tables_are_named(life, owner):
    owner.execute(
        "CREATE TABLE sparse AS SELECT n, repeat('x', 100) AS body FROM generate_series(1, 100000) n;"
        "CREATE TABLE dense AS SELECT n, repeat('x', 100) AS body FROM generate_series(1, 100000) n;"
        "CREATE TABLE airy (n int, body text) WITH (fillfactor = 50);"
        "INSERT INTO airy SELECT n, repeat('x', 100) FROM generate_series(1, 100000) n;"
        "DELETE FROM sparse WHERE n % 10 <> 0"
    )
    result = life.ask(lifecycle.vacuum).result
    full = owner.execute("SELECT pg_relation_size('sparse')").fetchone()[0]
    assert list(result["bloated"]) == ["public.sparse"], "what is kept free on purpose is none"
    assert 0.8 * full < result["bloated"]["public.sparse"] < 0.95 * full
    assert result["bloatBytes"] >= result["bloated"]["public.sparse"]
    owner.execute("VACUUM FULL ANALYZE sparse")
    assert life.ask(lifecycle.vacuum).result["bloated"] == {}


def test_a_project_in_which_nothing_has_changed_is_passed_over_and_says_so(life, owner):
    life.ask(lifecycle.vacuum)
    vacuumed_at = owner.execute("SELECT last_vacuum FROM pg_stat_all_tables WHERE relname = 'notes'").fetchone()
    job = life.ask(lifecycle.vacuum)
    assert job.result["skipped"] == "nothing has changed since the last vacuum"
    assert job.result["tablesVacuumed"] == 0
    assert owner.execute("SELECT last_vacuum FROM pg_stat_all_tables WHERE relname = 'notes'").fetchone() == vacuumed_at


def test_tables_of_auth_and_storage_are_vacuumed_too(life, owner):
    life.ask(lifecycle.vacuum)
    never = owner.execute(
        "SELECT relname FROM pg_stat_all_tables WHERE schemaname IN ('auth', 'storage') AND last_vacuum IS NULL"
    ).fetchall()
    assert never == []


def test_a_table_that_somebody_locks_is_left_out_and_named(life, owner, monkeypatch):
    monkeypatch.setattr(vacuum, "BOUNDS", replace(vacuum.BOUNDS, lock_seconds=0.1))
    with owner.transaction():
        owner.execute("LOCK TABLE notes IN ACCESS EXCLUSIVE MODE")
        job = life.ask(lifecycle.vacuum)
    assert job.status == "succeeded"
    assert job.result["tablesLeftOut"] == {"public.notes": "somebody held its lock"}


def test_what_a_tenant_put_into_an_index_runs_as_the_tenant(life, owner):
    owner.execute("CREATE TABLE caught (who text, mighty bool)")
    owner.execute("CREATE SEQUENCE calls")
    owner.execute(
        "CREATE FUNCTION spy(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN"
        " IF (SELECT rolsuper FROM pg_roles WHERE rolname = session_user) THEN RAISE EXCEPTION 'mighty'; END IF;"
        f" IF current_user <> '{life.id}_owner' THEN RAISE EXCEPTION 'as %', current_user; END IF;"
        " IF has_table_privilege('pg_catalog.pg_authid', 'SELECT') THEN RAISE EXCEPTION 'reads all'; END IF;"
        " BEGIN PERFORM set_config('role', 'none', true); RAISE EXCEPTION 'somebody else' USING ERRCODE = 'XX001';"
        " EXCEPTION WHEN insufficient_privilege THEN NULL; END;"
        " PERFORM nextval('public.calls'); RETURN n; END $$"
    )
    owner.execute("CREATE INDEX ON notes (spy(n))")
    before = owner.execute("SELECT last_value FROM calls").fetchone()
    job = life.ask(lifecycle.vacuum)
    assert (job.status, job.result["tablesLeftOut"]) == ("succeeded", {})
    assert owner.execute("SELECT last_value FROM calls").fetchone() > before, "the trap was not sprung"


def test_an_index_that_raises_spoils_its_own_table_only(life, owner):
    owner.execute("CREATE TABLE trap AS SELECT generate_series(1, 100) AS n")
    owner.execute("CREATE FUNCTION fuse(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN n; END $$")
    owner.execute("CREATE INDEX ON trap (fuse(n))")
    owner.execute(
        "CREATE OR REPLACE FUNCTION fuse(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS"
        " $$ BEGIN RAISE EXCEPTION 'no'; END $$"
    )
    job = life.ask(lifecycle.vacuum)
    assert job.status == "succeeded"
    assert job.result["tablesLeftOut"] == {"public.trap": "it could not be vacuumed"}
    assert job.result["deadRows"]["after"] == 0


def test_a_long_vacuum_is_broken_off_when_it_is_cancelled(life, owner):
    from jobs.engine.commands import cancel

    owner.execute("CREATE FUNCTION slow(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN n; END $$")
    owner.execute("CREATE TABLE tar AS SELECT generate_series(1, 100) AS n")
    owner.execute("CREATE INDEX ON tar (slow(n))")
    owner.execute(
        "CREATE OR REPLACE FUNCTION slow(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS"
        " $$ BEGIN PERFORM pg_sleep(60); RETURN n; END $$"
    )
    with life.infra.database.transaction() as tx:
        job = lifecycle.vacuum(tx, life.id)
    running = threading.Thread(target=life.engine.runner.drain)
    running.start()
    at_work = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'launchdb:%' AND query LIKE 'VACUUM%tar%'"
    )
    with life.tenant().as_admin() as admin:
        wait_until(lambda: admin.execute(at_work).fetchone() == (1,), 20)
    with life.infra.database.transaction() as tx:
        cancel(tx, job.id, by="test")
    running.join(20)
    assert life.engine.job(job.id).status == "cancelled"
    with life.tenant().as_admin() as admin:
        assert admin.execute(at_work).fetchone() == (0,)


def test_only_an_active_project_is_vacuumed(life):
    life.provision()
    life.ask(lifecycle.pause)
    with life.infra.database.transaction() as tx, pytest.raises(ProjectBusy, match="is paused"):
        lifecycle.vacuum(tx, life.id)


def test_a_pause_that_comes_first_ends_the_vacuum_with_the_reason(life):
    life.provision()
    with life.infra.database.transaction() as tx:
        job = lifecycle.vacuum(tx, life.id)
        lifecycle.pause(tx, life.id)
    life.engine.runner.drain()
    job = life.engine.job(job.id)
    assert (job.status, job.error["detail"]) == ("failed", "the project is not active")
    with pytest.raises(psycopg.OperationalError):
        life.tenant().connect(life.tenant().roles.owner)


@pytest.mark.gpg
def test_an_application_that_holds_all_its_connections_keeps_no_job_of_ours_away(life, owner):
    tenant = life.tenant()
    most = life.infra.settings.project_connections
    with ExitStack() as held:
        others = [held.enter_context(tenant.connect(tenant.roles.owner)) for _ in range(most - 1)]
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            tenant.connect(tenant.roles.owner)
        for ask in (lifecycle.vacuum, lambda tx, project: enqueue(tx, BackupProject(project))):
            job = life.ask(ask)
            assert job.status == "succeeded", job.error
        assert read_stats(life.infra.databases.cluster, tenant.uri(tenant.roles.dump), "test").used == most
        assert Sweeper(life.infra).run_once() == 0
        assert [other.execute("SELECT 1").fetchone() for other in others] == [(1,)] * (most - 1), "nobody was put out"


def test_the_logins_of_a_project_together_leave_the_slots_of_the_platform(life):
    life.provision()
    with psycopg.connect(life.infra.database.conninfo, autocommit=True) as admin:
        logins = life.tenant().roles.logins
        limits = dict(
            admin.execute("SELECT rolname, rolconnlimit FROM pg_roles WHERE rolname = ANY (%s)", (list(logins),))
        )
        (whole,) = admin.execute("SELECT datconnlimit FROM pg_database WHERE datname = %s", (life.id,)).fetchone()
    assert limits.pop(life.tenant().roles.dump) == -1
    assert min(limits.values()) > 0
    assert whole - sum(limits.values()) == KEPT
