"""A project that `failed` may have its data still: a restore of it takes nothing away that it has not made itself."""

from __future__ import annotations

import pytest

from infra.postgres.role_names import ProjectRoles
from jobs.engine.errors import GiveUp
from jobs.kinds.backup.restore import RestoreProject
from jobs.kinds.backup.undo_restore import UndoRestore
from jobs.requests import lifecycle
from tests.jobs.kinds.test_backups import ROWS, shop

__all__ = ["shop"]
pytestmark = pytest.mark.gpg


def gives_up_after(monkeypatch, arguments, name: str) -> None:
    """Have a step of a kind do its work, and then fail for good."""
    step = arguments.kind.step(name)
    act = step.act

    def worn_out(*about):
        act(*about)
        raise GiveUp("the disk is on fire")

    worn_out.__name__ = name
    monkeypatch.setitem(step.__dict__, "act", worn_out)


def has_failed(shop) -> None:
    """Have the project be what the restore of a platform makes of one that was moving."""
    with shop.infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET status = 'failed' WHERE id = %s", (shop.id,))


def restored(shop, backup):
    return shop.life.ask(lambda tx, project: lifecycle.restore(tx, project, backup.id))


@pytest.mark.parametrize("step", ["create_roles", "restore_copy", "swap_database", "open_data_api"])
def test_a_restore_that_fails_leaves_a_failed_project_the_data_it_has(shop, monkeypatch, step):
    backup, secrets = shop.back_up(), shop.life.secrets()
    shop.sql("INSERT INTO notes VALUES (1000, 'after the backup')")
    has_failed(shop)
    gives_up_after(monkeypatch, RestoreProject, step)
    for _time in range(2):
        assert restored(shop, backup).status == "failed"
        assert (shop.life.row()["status"], shop.databases()) == ("failed", {""})
        assert shop.sql(ROWS) == (101, 6050)
        assert (shop.roles(), shop.life.secrets()) == (set(ProjectRoles(shop.id).all), secrets)


def test_what_a_failed_project_had_before_its_restore_is_kept_and_can_be_had_again(shop):
    backup = shop.back_up()
    shop.sql("INSERT INTO notes VALUES (1000, 'after the backup')")
    has_failed(shop)
    job = restored(shop, backup)
    assert (job.status, job.error, shop.life.row()["status"]) == ("succeeded", None, "active")
    assert (shop.sql(ROWS), shop.databases(), "undoUntil" in job.result) == ((100, 5050), {"", "_before"}, True)
    assert shop.do(UndoRestore(shop.id)).status == "succeeded"
    assert (shop.sql(ROWS), shop.databases()) == ((101, 6050), {""})


@pytest.mark.parametrize("step", ["restore_copy", "open_data_api", "check_round_trip"])
def test_a_restore_that_fails_leaves_nothing_of_a_project_that_was_not_there(shop, monkeypatch, step):
    backup = shop.back_up()
    shop.life.delete()
    has_failed(shop)
    gives_up_after(monkeypatch, RestoreProject, step)
    assert restored(shop, backup).status == "failed"
    assert (shop.life.row()["status"], shop.databases(), shop.roles()) == ("failed", set(), set())
    assert (shop.life.secrets(), shop.life.things()) == ({}, []), "and no data API that would serve it"
