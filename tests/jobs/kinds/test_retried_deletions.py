"""A deletion that failed late and is tried again: the data is in a last backup, or the project has it still."""

from __future__ import annotations

import pytest

from catalog import backups
from jobs.backup.backups import opened
from jobs.engine.commands import cancel, retry
from jobs.engine.errors import GiveUp
from jobs.kinds import DeleteProject
from jobs.projects.steps import drop_database, drop_roles
from tests.fixtures.projects import mark_for_deletion
from tests.jobs.kinds.test_backups import shop

__all__ = ["shop"]
pytestmark = pytest.mark.gpg


def fails(monkeypatch, act, *, undo: bool = False) -> None:
    """Have a step of a deletion, or its undoing once it has done its work, fail for good."""
    step = DeleteProject.kind.step(act if isinstance(act, str) else act.__name__)
    undoing = step.undo

    def worn_out(*about):
        if undo:
            undoing(*about)
        raise GiveUp("the disk is on fire")

    worn_out.__name__ = step.name
    monkeypatch.setitem(step.__dict__, "undo" if undo else "act", worn_out)


def tried_again(shop, job):
    with shop.infra.database.transaction() as tx:
        retry(tx, job.id)
    shop.engine.runner.drain()
    return shop.engine.job(job.id)


def notes_of_last(shop) -> int:
    """Check the last backup as it is listed; return how many rows it has."""
    (last,) = [backup for backup in shop.listed() if backup.final]
    found = opened(shop.infra, last.stem)
    assert (last.sha256, last.bytes) == (found.manifest.files[0].sha256, found.manifest.bytes)
    assert last.expires_at is not None
    return found.contents.rows["public.notes"]


def test_a_retried_deletion_makes_its_last_backup_anew(shop, monkeypatch):
    with monkeypatch.context() as patch:
        fails(patch, drop_database)
        job = shop.life.delete()
    assert (job.status, shop.life.row()["status"]) == ("failed", "active")
    assert [(backup.final, backup.expires_at) for backup in shop.listed()] == [(False, None)]
    shop.sql("INSERT INTO notes VALUES (1000, 'since then')")
    assert tried_again(shop, job).status == "succeeded"
    assert (notes_of_last(shop), len(shop.listed())) == (101, 2)
    with shop.infra.database.autocommit() as tx:
        assert [backup.final for backup in backups.newest_of_deleted_projects(tx, shop.life.row()["owner_id"])] == [
            True
        ]


@pytest.mark.parametrize("half", ["complete_last_backup", "remove_from_pooler"])
def test_a_deletion_that_was_taken_back_half_has_a_last_backup_of_what_was_written_since(shop, monkeypatch, half):
    with monkeypatch.context() as patch:
        fails(patch, drop_database)
        fails(patch, half, undo=True)
        job = shop.life.delete()
    assert (job.status, shop.life.row()["status"]) == ("failed", "failed")
    shop.sql("INSERT INTO notes VALUES (1000, 'since then')")
    assert tried_again(shop, job).status == "succeeded"
    assert notes_of_last(shop) == 101


def test_a_project_whose_data_is_gone_serves_no_more_however_often_its_deletion_fails(shop, monkeypatch):
    with monkeypatch.context() as patch:
        fails(patch, drop_roles)
        job = shop.life.delete()
        for _time in range(2):
            assert (job.status, shop.life.row()["status"], shop.databases()) == ("failed", "failed", set())
            job = tried_again(shop, job)
    assert [backup.final for backup in shop.listed()] == [False], "what was backed up stays"
    assert tried_again(shop, job).status == "succeeded"
    with shop.infra.database.autocommit() as tx:
        assert len(backups.newest_of_deleted_projects(tx, shop.life.row()["owner_id"])) == 1


def test_a_failed_project_whose_deletion_is_called_off_is_not_what_it_was_long_ago(shop):
    for status in ("active", "failed"):
        with shop.infra.database.autocommit() as tx:
            tx.execute("UPDATE projects SET status = %s WHERE id = %s", (status, shop.id))
            mark_for_deletion(tx, shop.id)
        job = shop.engine.enqueue(DeleteProject(shop.id))
        with shop.infra.database.transaction() as tx:
            cancel(tx, job.id, by="test")
        assert shop.life.row()["status"] == status
