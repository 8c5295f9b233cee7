"""project.delete: nothing is left; twice is harmless; during provisioning it supersedes it."""

from __future__ import annotations

import threading

import psycopg
import pytest

from catalog import backups
from infra.backup.set_writer import dump as real
from jobs.backup.backups import opened
from jobs.backup.writing import write_backup
from jobs.engine.commands import JobConflict, cancel, retry
from jobs.engine.errors import GiveUp
from jobs.kinds import DeleteProject, PauseProject, ProvisionProject
from jobs.kinds.project.provision import clone_template
from jobs.kinds.project.sleep import SleepProject
from jobs.projects.steps import close_data_api
from tests.fixtures.projects import mark_for_deletion
from tests.jobs.conftest import wait_until


@pytest.mark.gpg
def test_a_deleted_project_leaves_nothing_but_its_history(life):
    life.provision()
    job = life.delete()
    assert (job.status, job.past_return) == ("succeeded", True)
    assert life.things() == []
    assert life.ledger() == set()
    assert life.secrets() == {}
    assert not (life.infra.settings.instances_folder / life.id).exists()
    assert life.row()["status"] == "deleted"
    assert life.row()["deleted_at"] is not None


@pytest.mark.gpg
def test_a_project_in_use_is_deleted_with_its_sessions(life):
    life.provision()
    tenant = life.tenant()
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("CREATE TABLE t AS SELECT 1 AS n")
        assert life.delete().status == "succeeded"
        with pytest.raises(psycopg.OperationalError):
            owner.execute("SELECT 1")
    assert life.things() == []


@pytest.mark.gpg
def test_deleting_twice_is_harmless(life):
    life.provision()
    life.delete()
    deleted_at = life.row()["deleted_at"]
    again = life.delete()
    assert again.status == "succeeded"
    assert (life.row()["status"], life.row()["deleted_at"]) == ("deleted", deleted_at)


def test_a_project_that_never_came_to_be_can_be_deleted(life):
    assert life.delete().status == "succeeded"
    assert life.row()["status"] == "deleted"


def test_a_deletion_during_provisioning_supersedes_it(life, other_engine, monkeypatch):
    entered, gate = threading.Event(), threading.Event()

    def wait_first(run):
        entered.set()
        assert gate.wait(20)
        clone_template(run)

    step = next(step for step in ProvisionProject.kind.steps if step.act is clone_template)
    wait_first.__name__ = step.name
    monkeypatch.setitem(step.__dict__, "act", wait_first)
    provision = life.engine.enqueue(ProvisionProject(life.id))
    running = life.engine.in_background()
    assert entered.wait(20)
    with life.infra.database.autocommit() as tx:
        mark_for_deletion(tx, life.id)
    delete = life.engine.enqueue(DeleteProject(life.id))
    assert other_engine.runner.drain() == 0, "the lane is held until the provision has let go"
    gate.set()
    running.join(20)
    wait_until(lambda: other_engine.runner.drain() or other_engine.job(delete.id).final)
    assert life.engine.job(provision.id).status == "cancelled"
    assert life.engine.job(delete.id).status == "succeeded"
    assert (life.row()["status"], life.things(), life.ledger()) == ("deleted", [], set())


@pytest.mark.gpg
def test_a_deletion_called_off_before_it_began_lets_the_project_serve_on(life):
    life.provision()
    with life.infra.database.autocommit() as tx:
        mark_for_deletion(tx, life.id)
    job = life.engine.enqueue(DeleteProject(life.id))
    with life.infra.database.transaction() as tx:
        cancel(tx, job.id, by="test")
    assert life.row()["status"] == "active"
    with life.infra.database.transaction() as tx:
        retry(tx, job.id)
    assert life.row()["status"] == "deleting"
    life.engine.runner.drain()
    assert (life.row()["status"], life.things()) == ("deleted", [])


@pytest.mark.gpg
def test_a_finished_deletion_is_not_begun_again(life):
    life.provision()
    life.delete()
    with life.infra.database.autocommit() as tx:
        tx.execute("UPDATE jobs SET status = 'failed' WHERE kind = 'project.delete'")
        job = tx.value("SELECT id FROM jobs WHERE kind = 'project.delete'")
    with life.infra.database.transaction() as tx, pytest.raises(JobConflict):
        retry(tx, job)


def test_what_is_not_ours_is_never_dropped(life, platform_url):
    with psycopg.connect(platform_url, autocommit=True) as stranger:
        stranger.execute(f'CREATE DATABASE "{life.id}"')
    try:
        assert life.delete().status == "succeeded"
        with psycopg.connect(platform_url, dbname=life.id) as still_there:
            assert still_there.execute("SELECT 1").fetchone() == (1,)
    finally:
        with psycopg.connect(platform_url, autocommit=True) as stranger:
            stranger.execute(f'DROP DATABASE "{life.id}"')


TAKEN = "CREATE TABLE mine AS SELECT 1 AS n; REVOKE ALL ON mine FROM current_user"


def serves(life) -> bool:
    """Whether the owner and the data API's login get in, and the data API's configuration is there."""
    tenant = life.tenant()
    for login in (tenant.roles.owner, tenant.roles.authenticator):
        with tenant.connect(login) as session:
            session.execute("SELECT 1")
    return (life.folder() / "data-api.conf").exists() or any(life.folder().iterdir())


@pytest.mark.gpg
def test_what_an_owner_took_from_themselves_keeps_no_deletion_from_its_last_backup(life):
    life.provision()
    with life.tenant().connect(life.tenant().roles.owner) as owner:
        owner.execute(TAKEN)
    assert life.delete().status == "succeeded"
    with life.infra.database.autocommit() as tx:
        assert [backup.final for backup in backups.newest_of_deleted_projects(tx, life.row()["owner_id"])] == [True]


@pytest.mark.gpg
def test_a_deletion_whose_last_backup_cannot_be_made_closes_nothing(life, monkeypatch):
    def fails(run, **_more):
        raise GiveUp("the disk is on fire")

    life.provision()
    monkeypatch.setattr("jobs.kinds.project.delete.write_backup", fails)
    job = life.delete()
    assert (job.status, job.past_return) == ("failed", False)
    assert (life.row()["status"], serves(life)) == ("active", True)
    monkeypatch.undo()
    with life.infra.database.transaction() as tx:
        retry(tx, job.id)
    life.engine.runner.drain()
    assert (life.row()["status"], life.things()) == ("deleted", [])


@pytest.mark.gpg
@pytest.mark.parametrize("before", ["active", "paused", "sleeping"])
def test_a_deletion_whose_last_backup_cannot_be_completed_opens_the_project_again(life, monkeypatch, before):
    def fails(run, *, fresh=False, last=False):
        if fresh:
            raise GiveUp("the disk is on fire")
        write_backup(run, last=last)

    life.provision()
    if before == "paused":
        life.engine.enqueue(PauseProject(life.id))
        life.engine.runner.drain()
    if before == "sleeping":
        monkeypatch.setattr("jobs.kinds.project.sleep.is_idle", lambda *_about: True)
        life.engine.enqueue(SleepProject(life.id))
        life.engine.runner.drain()
    rights, folder = life.rights(), life.folder().exists()
    monkeypatch.setattr("jobs.kinds.project.delete.write_backup", fails)
    for _time in range(2):
        assert life.delete().status == "failed"
        assert (life.row()["status"], life.rights(), life.folder().exists()) == (before, rights, folder)
    if before == "active":
        assert serves(life)
    assert not list(life.infra.settings.backups_folder.glob(f"{life.id}_*")), "a set of a deletion that was not"


@pytest.mark.gpg
def test_what_is_written_while_the_last_backup_is_made_is_in_it(life, monkeypatch):
    life.provision()
    tenant = life.tenant()
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("CREATE TABLE late (n int)")

    def written_late(run):
        with tenant.connect(tenant.roles.owner) as owner:
            owner.execute("INSERT INTO late SELECT generate_series(1, 7)")
        close_data_api(run)

    step = next(step for step in DeleteProject.kind.steps if step.act is close_data_api)
    written_late.__name__ = step.name
    monkeypatch.setitem(step.__dict__, "act", written_late)
    assert life.delete().status == "succeeded"
    with life.infra.database.autocommit() as tx:
        (last,) = backups.newest_of_deleted_projects(tx, life.row()["owner_id"])
    assert opened(life.infra, last.stem).contents.rows["public.late"] == 7


@pytest.mark.gpg
def test_numbers_that_are_given_out_while_the_last_backup_is_made_are_in_it(life, monkeypatch):
    life.provision()
    tenant = life.tenant()
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("CREATE SEQUENCE orders; SELECT nextval('orders')")

    def drawn_late(run):
        with tenant.connect(tenant.roles.owner) as owner:
            owner.execute("SELECT nextval('orders') FROM generate_series(1, 6)")
        close_data_api(run)

    step = next(step for step in DeleteProject.kind.steps if step.act is close_data_api)
    drawn_late.__name__ = step.name
    monkeypatch.setitem(step.__dict__, "act", drawn_late)
    assert life.delete().status == "succeeded"
    with life.infra.database.autocommit() as tx:
        (last,) = backups.newest_of_deleted_projects(tx, life.row()["owner_id"])
    assert opened(life.infra, last.stem).contents.figures["sequence public.orders"] == 7


@pytest.mark.gpg
def test_a_project_that_nobody_writes_to_is_dumped_once_for_its_last_backup(life, monkeypatch):
    life.provision()
    dumped = []
    monkeypatch.setattr("infra.backup.set_writer.dump", lambda *about: dumped.append(about) or real(*about))
    assert life.delete().status == "succeeded"
    assert len(dumped) == 1
