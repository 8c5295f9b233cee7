"""Projects behind the pooler: what their jobs and the sweep make of what it serves."""

from __future__ import annotations

import time

import psycopg
import pytest

from app.platform.projects.projects import _database_urls
from catalog import names
from jobs.kinds import DeleteProject
from jobs.kinds.backup.backup import BackupProject
from jobs.kinds.backup.restore import RestoreProject
from jobs.kinds.backup.undo_restore import UndoRestore
from jobs.loops.sweeper import Sweeper
from jobs.projects import pooling
from jobs.requests import lifecycle
from tests.fixtures.pooler import Traffic
from tests.fixtures.projects import add_project, drop, mark_for_deletion
from tests.fixtures.servers import wait_until
from tests.jobs.kinds.conftest import Life

pytestmark = pytest.mark.docker


@pytest.fixture
def settings(pooled_settings):
    return pooled_settings


@pytest.fixture
def infra(pooled):
    return pooled


@pytest.fixture
def life(engine, infra, pooled_settings):
    """An active project of an installation with a pooler."""
    made = Life(engine, infra, add_project(infra))
    assert made.provision().status == "succeeded"
    yield made
    drop(infra, made.id)


@pytest.fixture
def sweeper(infra):
    return Sweeper(infra)


def served(life):
    return {entry.database: (entry.pool_size, entry.paused) for entry in life.infra.pooler.served()}


def uris(life):
    tenant = life.tenant()
    logins = tenant.roles.owner, tenant.roles.authenticator
    return [life.infra.pooler.uri(life.id, login, tenant.passwords[login]) for login in logins]


def healed(life, sweeper):
    """What reconciles have mended once the sweep has looked."""
    sweeper.run_once()
    life.engine.runner.drain()
    with life.infra.database.autocommit() as tx:
        rows = tx.rows("SELECT id FROM jobs WHERE kind = 'project.reconcile' ORDER BY seq DESC LIMIT 1")
    job = life.engine.job(rows[0]["id"])
    assert job.status == "succeeded", job.error
    return job.result["healed"]


def do(life, arguments):
    job = life.engine.enqueue(arguments)
    life.engine.runner.drain()
    done = life.engine.job(job.id)
    assert done.status == "succeeded", done.error
    return done


def test_a_provisioned_project_is_served_and_reached(life, sweeper):
    assert served(life) == {life.id: (5, False)}
    assert ("pooler", "present") in life.ledger()
    assert [thing.verdict for thing in life.things() if thing.kind == "pooler"] == ["owned"]
    for uri in uris(life):
        psycopg.connect(uri).close()
    configuration = (life.folder() / "data-api.conf").read_text()
    assert f":{life.infra.settings.pooler_url.rsplit(':', 1)[1].split('/')[0]}/{life.id}" in configuration
    assert sweeper.run_once() == 0


def test_a_deleted_project_is_served_no_more(life):
    with life.infra.database.autocommit() as tx:
        mark_for_deletion(tx, life.id)
    with psycopg.connect(uris(life)[0], autocommit=True) as client:
        client.execute("SELECT 1")
        do(life, DeleteProject(life.id, purge=True))
    assert served(life) == {}
    assert life.things() == []


def test_a_paused_project_is_not_served_until_it_is_resumed(life, sweeper):
    assert life.ask(lifecycle.pause).status == "succeeded"
    assert served(life) == {}
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(uris(life)[0])
    assert sweeper.run_once() == 0
    assert life.ask(lifecycle.resume).status == "succeeded"
    assert served(life) == {life.id: (5, False)}
    psycopg.connect(uris(life)[0]).close()


def test_another_pool_size_and_other_limits_reach_sessions_that_are_open(life):
    with Traffic(uris(life), 40, clients=4) as load:
        time.sleep(0.5)
        with life.infra.database.autocommit() as tx:
            tx.execute("UPDATE projects SET pool_size = 9 WHERE id = %s", (life.id,))
            tx.execute(
                "INSERT INTO project_settings (project_id, settings) VALUES (%s, '{\"statementSeconds\": 7}')",
                (life.id,),
            )
        assert life.ask(lifecycle.configure).status == "succeeded"
        with psycopg.connect(uris(life)[0]) as client:
            assert client.execute("SHOW statement_timeout").fetchone() == ("7s",)
    assert served(life) == {life.id: (9, False)}
    assert load.failures == []


@pytest.mark.timing
def test_clients_that_are_all_held_back_wait_and_none_fails(life):
    """As for a restart of Postgres; new logins wait, too."""
    with Traffic(uris(life), 40, clients=4) as load, Traffic(uris(life), 10, clients=2, fresh=True) as comers:
        time.sleep(0.5)
        pooling.hold_all_clients(life.infra)
        assert served(life) == {life.id: (5, True)}
        time.sleep(0.1)  # what was answered is counted
        before, began = load.answered + comers.answered, time.monotonic()
        time.sleep(1)
        assert load.answered + comers.answered == before
        pooling.resume_all_clients(life.infra)
        wait_until(lambda: load.answered + comers.answered > before + 10)
    assert load.slowest > 0.9
    assert time.monotonic() - began < 30
    assert load.failures + comers.failures == []
    assert served(life) == {life.id: (5, False)}


def test_whoever_was_held_back_by_a_command_that_was_killed_goes_on_after_the_sweep(life, sweeper):
    pooling.hold_all_clients(life.infra)
    assert healed(life, sweeper) == [f"pooler {life.id}: its clients are held back"]
    for uri in uris(life):
        psycopg.connect(uri, connect_timeout=10).close()
    assert served(life) == {life.id: (5, False)}


def test_the_sweep_puts_the_files_right_without_a_job(life, sweeper, pgbouncer):
    file = pgbouncer.home / "pgbouncer" / "pgbouncer.ini"
    good = file.read_text()
    for damage in ("", good[:200], good.replace("[databases]", "[databases]\nstrange = host=127.0.0.1")):
        file.write_text(damage)
        assert sweeper.run_once() == 0
        assert file.read_text() == good
        assert served(life) == {life.id: (5, False)}


def test_what_differs_of_a_project_is_found_and_mended(life, sweeper):
    with life.infra.database.autocommit() as tx:
        tx.execute("DELETE FROM resources WHERE kind = 'pooler'")
    assert healed(life, sweeper) == [f"pooler {life.id}: it is missing"]
    assert served(life) == {life.id: (5, False)}
    life.infra.pooler.release(life.id)
    assert healed(life, sweeper) == [f"pooler {life.id}: its clients are held back"]
    assert served(life) == {life.id: (5, False)}


def test_a_pooler_that_is_away_fails_no_sweep_and_no_job_for_good(life, sweeper, pgbouncer):
    pgbouncer.kill()
    try:
        assert sweeper.run_once() == 0
        job = life.ask(lifecycle.pause)
        assert job.status == "retrying"
    finally:
        pgbouncer.again()
    wait_until(pgbouncer.answers)
    with life.infra.database.autocommit() as tx:
        tx.execute("UPDATE jobs SET run_at = now() WHERE id = %s", (job.id,))
    life.engine.runner.drain()
    assert life.engine.job(job.id).status == "succeeded"
    assert served(life) == {}


def test_passwords_are_rotated_while_clients_go_on(life):
    before = uris(life)
    with Traffic(before, 200, clients=50) as load:
        time.sleep(0.5)
        assert life.ask(lambda tx, project: lifecycle.rotate(tx, project, "databasePassword", 0)).status == "succeeded"
        time.sleep(0.5)
    assert load.failures == []
    for old, new in zip(before, uris(life), strict=True):
        psycopg.connect(new).close()
        with pytest.raises(psycopg.OperationalError, match="authentication failed"):
            psycopg.connect(old)


@pytest.mark.gpg
def test_a_restore_and_its_undoing_fail_no_client(life):
    backup = do(life, BackupProject(life.id)).result["backupId"]
    with Traffic(uris(life), 40, clients=4) as load:
        do(life, RestoreProject(life.id, backup))
        assert served(life) == {life.id: (5, False)}
        time.sleep(1)
        do(life, UndoRestore(life.id))
    assert load.failures == []
    assert served(life) == {life.id: (5, False)}


def test_the_files_can_be_written_before_the_pooler_starts(life, monkeypatch, pgbouncer):
    file = pgbouncer.home / "pgbouncer" / "pgbouncer.ini"
    good = file.read_text()
    file.unlink()
    monkeypatch.setenv("LAUNCHDB_HOME", str(pgbouncer.home))
    monkeypatch.setenv("LAUNCHDB_DATABASE_URL", life.infra.settings.database_url)
    monkeypatch.setenv("LAUNCHDB_POOLER_URL", pgbouncer.url)
    monkeypatch.setenv("LAUNCHDB_REDIS_URL", life.infra.settings.redis_url)
    assert pooling.main() == 0
    assert file.read_text() == good
    assert names.database(life.id) in good


def test_the_owner_is_told_the_poolers_address(life):
    tenant = life.tenant()
    owner = tenant.roles.owner
    found = _database_urls(life.infra, life.id, owner, tenant.passwords[owner])
    with psycopg.connect(found["poolerUrl"]) as session:
        assert session.execute("SELECT current_user").fetchone() == (owner,)


def test_a_pooler_that_finds_its_file_damaged_goes_on_with_the_newest_copy(life, sweeper, pgbouncer):
    file = pgbouncer.home / "pgbouncer" / "pgbouncer.ini"
    good = file.read_text()
    pgbouncer.kill()
    file.write_text(good[: len(good) // 2])
    pgbouncer.again()
    wait_until(pgbouncer.answers, 10)
    assert sweeper.run_once() == 0
    assert file.read_text() == good
    assert served(life) == {life.id: (5, False)}
    psycopg.connect(uris(life)[0]).close()
