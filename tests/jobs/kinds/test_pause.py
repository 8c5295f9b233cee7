"""project.pause: nobody gets in, everybody is put out, and nothing is lost."""

from __future__ import annotations

import threading

import psycopg
import pytest

from catalog.projects import ProjectBusy
from jobs.engine.commands import JobConflict, cancel, retry
from jobs.kinds import PauseProject
from jobs.projects.steps import refuse_logins
from jobs.requests import lifecycle
from tests.fixtures.projects import mark_for_deletion


@pytest.fixture
def active(life):
    """A provisioned project."""
    life.provision()
    return life


def logins_that_get_in(life):
    tenant = life.tenant()
    admitted = []
    for login in tenant.roles.logins:
        try:
            tenant.connect(login).close()
        except psycopg.OperationalError:
            continue
        admitted.append(login)
    return admitted


def test_a_paused_project_refuses_every_login_but_the_backups(active):
    job = active.ask(lifecycle.pause)
    assert (job.status, job.error, job.result) == ("succeeded", None, {"projectId": active.id})
    assert active.row()["status"] == "paused"
    assert logins_that_get_in(active) == [active.tenant().roles.dump]


def test_a_pause_ends_the_sessions_that_are_open_and_leaves_those_of_backups(active):
    tenant = active.tenant()
    with tenant.connect(tenant.roles.owner) as owner, tenant.connect(tenant.roles.dump) as dump:
        owner.execute("CREATE TABLE kept AS SELECT 1 AS n")
        active.ask(lifecycle.pause)
        with pytest.raises(psycopg.OperationalError):
            owner.execute("SELECT 1")
        assert dump.execute("SELECT n FROM kept").fetchone() == (1,)


def test_clients_that_come_back_at_once_are_out_when_the_pause_is_done(active):
    tenant = active.tenant()
    stop = threading.Event()

    def insist():
        while not stop.is_set():
            try:
                with tenant.connect(tenant.roles.owner) as owner:
                    owner.execute("SELECT pg_sleep(10)")
            except psycopg.OperationalError:
                stop.wait(0.002)

    clients = [threading.Thread(target=insist) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        job = active.ask(lifecycle.pause)
    finally:
        stop.set()
        for client in clients:
            client.join(20)
    assert job.status == "succeeded"
    with tenant.as_admin() as admin:
        assert admin.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = %s", (tenant.roles.owner,)
        ).fetchone() == (0,)


def test_a_paused_project_keeps_its_database_roles_and_keys_but_is_served_no_more(active):
    before = active.secrets()
    active.ask(lifecycle.pause)
    assert not active.folder().exists()
    assert active.secrets() == before
    closed = {(kind, "gone") for kind in ("instance", "auth", "storage")}
    assert active.ledger() == {("role", "present"), ("database", "present"), *closed}
    assert {(thing.kind, thing.verdict) for thing in active.things()} == {
        ("role", "owned"), ("database", "owned"), ("secrets", "owned"),
    }  # fmt: skip


def test_pausing_what_is_paused_or_on_its_way_up_is_refused_with_the_state(life):
    with life.infra.database.transaction() as tx, pytest.raises(ProjectBusy, match="is provisioning"):
        lifecycle.pause(tx, life.id)
    life.provision()
    life.ask(lifecycle.pause)
    with life.infra.database.transaction() as tx, pytest.raises(ProjectBusy, match="is paused"):
        lifecycle.pause(tx, life.id)


def test_a_pause_under_way_answers_for_a_second_one_and_stands_in_the_way_of_others(active):
    with active.infra.database.transaction() as tx:
        first = lifecycle.pause(tx, active.id)
    with active.infra.database.transaction() as tx:
        assert lifecycle.pause(tx, active.id).id == first.id
    for other in (lifecycle.resume, lifecycle.restart):
        with active.infra.database.transaction() as tx, pytest.raises(ProjectBusy, match=first.id):
            other(tx, active.id)


def test_a_cancelled_pause_leaves_the_project_as_it_was(active, monkeypatch):
    text, rights = (active.folder() / "data-api.conf").read_text(), active.rights()
    job = active.engine.enqueue(PauseProject(active.id))

    def cancel_after(run):
        refuse_logins(run)
        with active.infra.database.transaction() as tx:
            cancel(tx, job.id, by="test")

    cancel_after.__name__ = "refuse_logins"
    step = next(step for step in PauseProject.kind.steps if step.act is refuse_logins)
    monkeypatch.setitem(step.__dict__, "act", cancel_after)
    active.engine.runner.drain()
    assert active.engine.job(job.id).status == "cancelled"
    assert active.row()["status"] == "active"
    assert (active.folder() / "data-api.conf").read_text() == text
    assert sorted(active.rights()) == sorted(rights)
    assert set(logins_that_get_in(active)) == set(active.tenant().roles.logins)


def test_a_deletion_that_is_called_off_leaves_a_paused_project_paused(active):
    active.ask(lifecycle.pause)
    with active.infra.database.autocommit() as tx:
        mark_for_deletion(tx, active.id)
    from jobs.kinds import DeleteProject

    job = active.engine.enqueue(DeleteProject(active.id))
    with active.infra.database.transaction() as tx:
        cancel(tx, job.id, by="test")
    assert active.row()["status"] == "paused"


@pytest.mark.gpg
def test_a_paused_project_is_deleted_whole(active):
    active.ask(lifecycle.pause)
    assert active.delete().status == "succeeded"
    assert (active.things(), active.row()["status"]) == ([], "deleted")


def test_a_pause_of_a_deleted_project_is_not_tried_again(active):
    with active.infra.database.transaction() as tx:
        job = lifecycle.pause(tx, active.id)
    with active.infra.database.transaction() as tx:
        cancel(tx, job.id, by="test")
    active.delete()
    with active.infra.database.transaction() as tx, pytest.raises(JobConflict):
        retry(tx, job.id)
