"""Killed at every place, and in the middle of its SQL, an owner's migration is applied once, or said to be in doubt."""

from __future__ import annotations

import pytest

from catalog import owner_migrations
from jobs.engine.crash import EXIT_STATUS
from jobs.engine.reaper import SQL as REAPER
from jobs.engine.table import find
from jobs.kinds.project.migrate import MigrateProject
from tests.crash.attempts import Attempt, attempt_in_a_process
from tests.crash.carrying import installation, pass_on, prepare, run_here, steps, write
from tests.crash.places import places
from tests.fixtures.projects import drop, stored_tenant
from tests.jobs.conftest import wait_until

__all__ = ["installation"]
NOTES = "CREATE TABLE notes (id int PRIMARY KEY);\nINSERT INTO notes VALUES (1), (2);"
SLOW = "INSERT INTO notes VALUES (3);\nSELECT pg_sleep(20);\nINSERT INTO notes VALUES (4);"
PLAIN = "-- launchdb: no-transaction\n"


@pytest.fixture
def project(settings, installation):
    """A provisioned project."""
    made = prepare(settings, installation, ())
    yield made
    drop(installation, made)


def send(infra, project: str, sql: str, version: str = "1"):
    """Write a migration and its job, as the API does."""
    with infra.database.transaction() as tx:
        wanted = owner_migrations.NewOwnerMigration(version, "a change", sql, 30_000)
        made = owner_migrations.submit(tx, project, wanted)
    job = write(infra, MigrateProject(project, made.id))
    with infra.database.transaction() as tx:
        owner_migrations.assign_job(tx, made.id, job.id)
    return made.id, job


def state(infra, migration: int) -> str:
    with infra.database.autocommit() as tx:
        return owner_migrations.find(tx, migration).status


def notes(infra, project: str) -> list[int]:
    tenant = stored_tenant(infra, project)
    with tenant.connect(tenant.roles.owner) as owner:
        return [row[0] for row in owner.execute("SELECT id FROM notes ORDER BY id")]


@pytest.mark.parametrize("sql", [NOTES, PLAIN + NOTES], ids=["transactional", "plain"])
@pytest.mark.parametrize("crash", places(MigrateProject))
def test_killed_between_its_steps_it_is_applied_once(crash, sql, settings, installation, project):
    migration, job = send(installation, project, sql)
    assert attempt_in_a_process(settings, crash=crash) == EXIT_STATUS, "the crash point was not reached"
    pass_on(installation)
    run_here(installation, job)
    assert (state(installation, migration), notes(installation, project)) == ("applied", [1, 2])
    assert set(steps(installation, job).values()) == {"succeeded"}


def kill_in_its_sleep(settings, infra, job) -> None:
    """Have a process of its own run the job until its SQL sleeps, then kill -9 it, and end its sessions as the reaper does."""
    doomed = Attempt(settings)
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND application_name LIKE %s"
    try:
        with infra.database.autocommit() as tx:
            wait_until(lambda: tx.value(asleep, (f"launchdb:{job.id}:%",)), 20)
    finally:
        doomed.kill()
        doomed.wait()
    with infra.database.autocommit() as tx:
        tx.execute(REAPER.end_sessions, {"id": job.id, "fence": find(tx, job.id).fence})
    pass_on(infra)


def test_killed_in_its_sql_a_transactional_one_is_applied_once(settings, installation, project):
    run_here(installation, send(installation, project, NOTES)[1])
    migration, job = send(installation, project, SLOW.replace("20", "1"), "2")
    kill_in_its_sleep(settings, installation, job)
    assert notes(installation, project) == [1, 2]
    run_here(installation, job)
    assert (state(installation, migration), notes(installation, project)) == ("applied", [1, 2, 3, 4])


def test_killed_in_its_sql_a_plain_one_is_in_doubt_and_not_tried_again(settings, installation, project):
    run_here(installation, send(installation, project, NOTES)[1])
    migration, job = send(installation, project, PLAIN + SLOW, "2")
    kill_in_its_sleep(settings, installation, job)
    with pytest.raises(AssertionError):  # it does not succeed
        run_here(installation, job)
    with installation.database.autocommit() as tx:
        ended = find(tx, job.id)
    assert (ended.status, state(installation, migration)) == ("failed", "doubtful")
    assert "may be half applied" in ended.error["detail"]
    assert notes(installation, project) == [1, 2, 3]
