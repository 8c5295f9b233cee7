"""Databases of which an interrupted DROP DATABASE has left a name: whoever meets one gets over it, or says what to do."""

from __future__ import annotations

import os

import pytest

from catalog import names
from jobs.kinds.backup.backup import BackupProject
from jobs.kinds.backup.forget_database import ForgetDatabase
from jobs.kinds.backup.undo_restore import UndoRestore
from jobs.kinds.backup.verify_backup import VerifyBackup
from jobs.kinds.project.delete import DeleteProject
from jobs.kinds.project.provision import ProvisionProject
from jobs.loops.sweeper import Sweeper
from tests.fixtures.halfway import connection_limit, drops_halt, end_backends, half_drop, halted
from tests.fixtures.projects import mark_for_deletion
from tests.jobs.conftest import wait_until
from tests.jobs.kinds.test_backups import shop

__all__ = ["shop"]
pytestmark = [
    pytest.mark.gpg,
    pytest.mark.skipif(bool(os.environ.get("LAUNCHDB_TEST_POSTGRES")), reason="its processes are not ours to stop"),
]


def server(shop) -> str:
    return shop.infra.database.conninfo


def left(shop, use: str) -> str:
    """Leave a half dropped database beside the project's."""
    name = names.staging(shop.id, use)
    with shop.infra.databases.cluster.session("test") as admin:
        admin.execute(f'CREATE DATABASE "{name}" OWNER launchdb_platform')
        admin.execute(f"COMMENT ON DATABASE \"{name}\" IS 'launchdb:{shop.id}'")
    half_drop(server(shop), name)
    return name


def project(shop) -> dict:
    with shop.infra.database.autocommit() as tx:
        return tx.row("SELECT * FROM projects WHERE id = %s", (shop.id,))


def count(shop) -> int:
    return shop.sql("SELECT count(*) FROM notes")[0]


def ask_for_its_end(shop):
    with shop.infra.database.autocommit() as tx:
        mark_for_deletion(tx, shop.id)
    return shop.engine.enqueue(DeleteProject(shop.id))


def brought_back(shop, backup) -> int:
    """Bring a deleted project back; return how many rows it has."""
    with shop.infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET status = 'restoring' WHERE id = %s", (shop.id,))
    job = shop.restore(backup)
    assert (job.status, job.error) == ("succeeded", None)
    return count(shop)


def test_a_delete_whose_drop_is_cut_in_the_middle_is_finished_and_its_last_backup_brings_the_project_back(shop):
    job = ask_for_its_end(shop)
    session = f"launchdb:{job.id}:%"
    with drops_halt(server(shop)):
        running = shop.engine.in_background()
        wait_until(lambda: halted(server(shop), session), 60)
        end_backends(server(shop), session)
        running.join(60)
    assert connection_limit(server(shop), shop.id) == -2
    assert shop.engine.job(job.id).status == "retrying"
    shop.engine.due_now(job.id)
    shop.engine.runner.drain()
    assert (shop.engine.job(job.id).status, shop.engine.job(job.id).error) == ("succeeded", None)
    assert (shop.databases(), project(shop)["status"]) == (set(), "deleted")
    (last,) = shop.listed()
    assert last.final
    assert brought_back(shop, last) == 100


def test_a_project_whose_database_is_half_dropped_can_be_deleted_and_its_backups_stay(shop):
    backup = shop.back_up()
    half_drop(server(shop), shop.id)
    job = ask_for_its_end(shop)
    shop.engine.runner.drain()
    assert (shop.engine.job(job.id).status, shop.engine.job(job.id).error) == ("succeeded", None)
    assert (shop.databases(), shop.roles()) == (set(), set())
    assert [one.id for one in shop.listed()] == [backup.id]
    assert brought_back(shop, backup) == 100


def test_what_lies_half_dropped_beside_a_project_goes_with_it(shop):
    for use in names.STAGING_USES:
        left(shop, use)
    job = ask_for_its_end(shop)
    shop.engine.runner.drain()
    assert (shop.engine.job(job.id).status, shop.databases(), shop.roles()) == ("succeeded", set(), set())


@pytest.mark.parametrize("use", names.STAGING_USES)
def test_a_restore_gets_over_what_lies_half_dropped_beside_the_project(shop, use):
    backup = shop.back_up()
    shop.sql("DELETE FROM notes WHERE n > 50")
    left(shop, use)
    job = shop.restore(backup)
    assert (job.status, job.error) == ("succeeded", None)
    assert count(shop) == 100
    assert project(shop)["status"] == "active"


def test_a_restore_brings_a_project_back_whose_database_is_half_dropped(shop):
    backup = shop.back_up()
    half_drop(server(shop), shop.id)
    job = shop.restore(backup)
    assert (job.status, job.error) == ("succeeded", None)
    assert count(shop) == 100
    assert "undoUntil" not in job.result, "there is nothing to go back to"
    assert "_before" not in shop.databases()


def test_a_backup_is_proven_although_an_earlier_trial_lies_half_dropped(shop):
    backup = shop.back_up()
    left(shop, "trial")
    assert shop.do(VerifyBackup(shop.id, backup.id)).status == "succeeded"
    assert "_trial" not in shop.databases()


def test_what_was_before_a_restore_is_forgotten_although_it_is_half_dropped(shop):
    backup = shop.back_up()
    restored = shop.restore(backup)
    half_drop(server(shop), names.staging(shop.id, "before"))
    assert shop.do(ForgetDatabase(shop.id, restored.id)).status == "succeeded"
    assert "_before" not in shop.databases()


def test_a_restore_is_undone_although_what_it_made_is_half_dropped(shop):
    backup = shop.back_up()
    shop.sql("DELETE FROM notes WHERE n > 50")
    shop.restore(backup)
    half_drop(server(shop), shop.id)
    assert shop.do(UndoRestore(shop.id)).status == "succeeded"
    assert count(shop) == 50


def test_a_restore_whose_way_back_is_half_dropped_stays_and_says_so(shop):
    backup = shop.back_up()
    shop.restore(backup)
    half_drop(server(shop), names.staging(shop.id, "before"))
    job = shop.do(UndoRestore(shop.id))
    assert job.status == "failed"
    assert "half dropped" in job.error["detail"]
    assert count(shop) == 100


def test_a_backup_of_it_fails_at_once_and_says_what_to_do(shop):
    half_drop(server(shop), shop.id)
    job = shop.do(BackupProject(shop.id))
    assert (job.status, job.attempt) == ("failed", 1)
    assert job.error["detail"] == "the database is half dropped; restore it from a backup"
    assert shop.folder_of_files() == []


def test_the_sweep_names_it_and_goes_on_with_the_others(shop):
    half_drop(server(shop), shop.id)
    assert Sweeper(shop.infra).run_once() == 1
    shop.engine.runner.drain()
    with shop.infra.database.autocommit() as tx:
        job = tx.row("SELECT * FROM jobs WHERE kind = 'project.reconcile'")
    assert f"database {shop.id}: it is half dropped" in job["args"]["found"]
    assert job["status"] == "failed"
    assert "restore it from a backup" in project(shop)["status_reason"]
    assert connection_limit(server(shop), shop.id) == -2, "a reconcile makes no empty database in its place"


def test_a_provision_makes_its_database_although_an_earlier_copy_lies_half_dropped(life):
    life.provision()
    with life.infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET status = 'provisioning' WHERE id = %s", (life.id,))
    half_drop(life.infra.database.conninfo, life.id)
    again = life.engine.enqueue(ProvisionProject(life.id))
    life.engine.runner.drain()
    assert (life.engine.job(again.id).status, life.engine.job(again.id).error) == ("succeeded", None)
    tenant = life.tenant()
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("CREATE TABLE notes (id int)")
