"""A deletion asked for while a backup of the project is being made: that one ends with it, and the deletion's own stays."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from catalog import backups
from jobs.kinds import BackupProject, DeleteProject, RestoreProject
from tests.fixtures.projects import mark_for_deletion
from tests.jobs.conftest import wait_until

pytestmark = pytest.mark.gpg


def waits_for_a_lock(life) -> bool:
    """Whether a dump of the project stands before a lock that somebody holds."""
    with life.infra.database.autocommit() as tx:
        return tx.value(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock')", (life.id,)
        )


@contextmanager
def held_up(life, arguments):
    """Have a job that backs the project up be in the middle of it while the block runs; return the job."""
    tenant = life.tenant()
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("CREATE TABLE notes AS SELECT 1 AS n")
        owner.execute("BEGIN")
        owner.execute("LOCK TABLE notes IN ACCESS EXCLUSIVE MODE")
        job = life.engine.enqueue(arguments)
        running = life.engine.in_background()
        wait_until(lambda: waits_for_a_lock(life), 30)
        yield job
        owner.execute("ROLLBACK")
    running.join(60)


def ask_for_its_end(life, **more):
    with life.infra.database.autocommit() as tx:
        mark_for_deletion(tx, life.id)
    return life.engine.enqueue(DeleteProject(life.id, **more))


def ended(life, job) -> bool:
    life.engine.runner.drain()
    return life.engine.job(job.id).final


def sets(life) -> list[bool]:
    """Of each backup that the catalogue knows: whether it is the last one, listed, with its files and no others."""
    with life.infra.database.autocommit() as tx:
        rows = tx.rows("SELECT stem, final, finished_at FROM backups WHERE scope = %s", (life.id,))
    folder = life.infra.settings.backups_folder
    names = {path.name.lstrip(".").partition(".")[0] for path in folder.iterdir()} if folder.is_dir() else set()
    assert names == {row["stem"] for row in rows}
    assert not list(folder.glob(".*"))
    return [row["final"] and row["finished_at"] is not None for row in rows]


def test_a_backup_under_way_ends_with_its_row_and_its_file_when_its_project_is_deleted(life):
    life.provision()
    with held_up(life, BackupProject(life.id)) as backup:
        delete = ask_for_its_end(life)
    wait_until(lambda: ended(life, delete), 60)
    assert [life.engine.job(job.id).status for job in (backup, delete)] == ["cancelled", "succeeded"]
    assert "running" not in life.engine.steps(backup.id).values()
    assert sets(life) == [True], "the deletion's own is left, and nothing of the other"


def test_a_purge_takes_the_place_of_a_deletion_under_way_and_the_project_does_not_serve_in_between(life):
    life.provision()
    with held_up(life, DeleteProject(life.id)) as delete:
        purge = ask_for_its_end(life, purge=True)
    wait_until(lambda: life.engine.job(delete.id).final, 60)
    assert (life.engine.job(delete.id).status, life.row()["status"]) == ("cancelled", "deleting")
    wait_until(lambda: ended(life, purge), 60)
    assert (life.engine.job(purge.id).status, life.row()["status"], life.things()) == ("succeeded", "deleted", [])
    assert sets(life) == []


def test_a_deletion_asked_for_once_a_restore_has_swapped_comes_after_its_end(life, monkeypatch):
    life.provision()
    life.engine.enqueue(BackupProject(life.id))
    life.engine.runner.drain()
    with life.infra.database.autocommit() as tx:
        (backup,) = backups.page(tx, life.id, before=None, limit=1)
    step, deletions = RestoreProject.kind.step("swap_database"), []
    swap = step.act

    def swap_database(run):
        swap(run)
        deletions.append(ask_for_its_end(life))

    monkeypatch.setitem(step.__dict__, "act", swap_database)
    restore = life.engine.enqueue(RestoreProject(life.id, backup.id))
    life.engine.runner.drain()
    assert [life.engine.job(job.id).status for job in (restore, *deletions)] == ["succeeded", "succeeded"]
    assert (life.row()["status"], life.things()) == ("deleted", [])
