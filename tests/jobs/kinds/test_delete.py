"""project.delete: nothing is left; twice is harmless; during provisioning it supersedes it."""

from __future__ import annotations

import threading

import psycopg
import pytest

from jobs.commands import JobConflict, cancel, retry
from jobs.kinds import DeleteProject, ProvisionProject
from jobs.kinds.provision import clone_template
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
        tx.execute("UPDATE projects SET status = 'deleting' WHERE id = %s", (life.id,))
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
        tx.execute("UPDATE projects SET status = 'deleting' WHERE id = %s", (life.id,))
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
