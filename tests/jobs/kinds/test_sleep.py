"""project.sleep and project.wake: who is not asked gives its memory back, and every other verb still does its own."""

from __future__ import annotations

import os
import time

import pytest

from catalog.projects import ProjectBusy
from jobs.engine.commands import JobConflict, retry
from jobs.kinds import SleepProject, WakeProject
from jobs.kinds.project.configure import ConfigureProject
from jobs.loops.idle_scaler import IdleScaler
from jobs.loops.sweeper import Sweeper
from jobs.requests import lifecycle

MINUTE = 60


@pytest.fixture
def active(life):
    """A provisioned project that may sleep after ten minutes."""
    life.provision()
    with life.infra.database.autocommit() as tx:
        tx.execute(
            """INSERT INTO project_settings (project_id, settings) VALUES (%s, '{"idleMinutes": 10}')""", (life.id,)
        )
    return life


def let_be_idle(life, minutes=11):
    """Have the last thing that was done with a project be so long ago."""
    ago = time.time() - minutes * MINUTE
    os.utime(life.folder() / "last-request", (ago, ago))
    with life.infra.database.autocommit() as tx:
        tx.execute(
            "UPDATE projects SET updated_at = now() - %s * interval '1 minute' WHERE id = %s", (minutes, life.id)
        )
        tx.execute("UPDATE jobs SET finished_at = now() - %s * interval '1 minute'", (minutes,))


def kinds_of_open_jobs(life):
    with life.infra.database.autocommit() as tx:
        return [row["kind"] for row in tx.rows("SELECT kind FROM jobs WHERE status = 'queued' ORDER BY seq")]


@pytest.fixture
def asleep(active):
    let_be_idle(active)
    job = active.ask(lifecycle.sleep)
    assert (job.status, job.result) == ("succeeded", {"projectId": active.id, "asleep": True})
    return active


def test_an_idle_project_is_put_to_sleep_once_and_is_let_in_by_its_logins(active):
    sleeper = IdleScaler(active.infra)
    assert sleeper.run_once() == 0, "it was made just now"
    let_be_idle(active)
    assert sleeper.run_once() == 1
    assert sleeper.run_once() == 0
    active.engine.runner.drain()
    assert active.row()["status"] == "sleeping"
    assert not active.folder().exists()
    tenant = active.tenant()
    for login in tenant.roles.logins:
        tenant.connect(login).close()
    assert sleeper.run_once() == 0
    assert ("instance", "gone") in active.ledger()


def test_a_project_that_is_not_told_to_sleep_never_does(life):
    life.provision()
    let_be_idle(life, 100_000)
    assert IdleScaler(life.infra).run_once() == 0


@pytest.mark.parametrize("sign", ["request", "change", "nobody notes"])
def test_what_was_asked_or_changed_since_stays_awake_though_the_job_is_there(active, sign):
    let_be_idle(active)
    job = active.engine.enqueue(SleepProject(active.id))
    if sign == "request":
        os.utime(active.folder() / "last-request")
    elif sign == "nobody notes":
        (active.folder() / "last-request").unlink()
    else:
        with active.infra.database.autocommit() as tx:
            tx.execute("UPDATE projects SET updated_at = now()")
    active.engine.runner.drain()
    done = active.engine.job(job.id)
    assert (done.status, done.result["asleep"]) == ("succeeded", False)
    assert (active.row()["status"], active.folder().exists()) == ("active", True)


def test_what_is_woken_serves_again_and_all_who_ask_get_one_job(asleep):
    with asleep.infra.database.transaction() as tx:
        asked = {lifecycle.wake(tx, asleep.id).id for _ in range(3)} | {lifecycle.resume(tx, asleep.id).id}
    assert len(asked) == 1
    asleep.engine.runner.drain()
    assert asleep.engine.job(asked.pop()).status == "succeeded"
    assert (asleep.row()["status"], asleep.folder().exists()) == ("active", True)
    with pytest.raises(ProjectBusy), asleep.infra.database.transaction() as tx:
        lifecycle.wake(tx, asleep.id)


def test_a_request_during_the_way_to_sleep_wakes_it_right_after(active):
    let_be_idle(active)
    active.engine.enqueue(SleepProject(active.id))
    with active.infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET status = 'sleeping'")
        assert lifecycle.wake(tx, active.id).kind == "project.wake"
    active.engine.runner.drain()
    assert (active.row()["status"], active.folder().exists()) == ("active", True)


def test_the_sweep_leaves_a_sleeping_project_asleep_and_puts_right_what_is_served(asleep):
    with asleep.infra.database.autocommit() as tx:
        tx.execute("UPDATE jobs SET finished_at = now() - interval '1 minute'")
    assert Sweeper(asleep.infra).run_once() == 0
    asleep.folder().mkdir()
    (asleep.folder() / "data-api.conf").write_text("# somebody else's")
    assert Sweeper(asleep.infra).run_once() == 1
    asleep.engine.runner.drain()
    assert (asleep.row()["status"], asleep.folder().exists()) == ("sleeping", False)
    job = asleep.engine.enqueue(ConfigureProject(asleep.id))
    asleep.engine.runner.drain()
    assert asleep.engine.job(job.id).status == "succeeded"
    assert not asleep.folder().exists(), "a change is taken up when it wakes"


def test_a_sleeping_project_is_paused_rotated_and_deleted_like_another(asleep):
    rotated = asleep.ask(lambda tx, project: lifecycle.rotate(tx, project, "jwtSecret", 60))
    assert rotated.status == "succeeded"
    assert (asleep.row()["status"], asleep.folder().exists()) == ("sleeping", False)
    for verb in (lifecycle.restart, lifecycle.vacuum):
        with pytest.raises(ProjectBusy, match="the project is sleeping"):
            asleep.ask(verb)
    assert asleep.ask(lifecycle.pause).status == "succeeded"
    assert asleep.row()["status"] == "paused"
    with pytest.raises(ProjectBusy, match="the project is paused"):
        asleep.ask(lifecycle.wake)
    assert asleep.ask(lifecycle.resume).status == "succeeded"
    assert asleep.row()["status"] == "active"
    let_be_idle(asleep)
    assert asleep.ask(lifecycle.sleep).result["asleep"]
    assert asleep.delete().status == "succeeded"
    assert asleep.things() == []


def test_a_paused_project_is_not_opened_by_a_wake_that_comes_late(asleep):
    job = asleep.engine.enqueue(WakeProject(asleep.id))
    with asleep.infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET status = 'paused'")
    asleep.engine.runner.drain()
    assert asleep.engine.job(job.id).status == "failed"
    assert not asleep.folder().exists()
    with pytest.raises(JobConflict), asleep.infra.database.transaction() as tx:
        retry(tx, job.id)


def test_what_could_not_be_woken_is_not_tried_again_by_each_request(asleep):
    with asleep.infra.database.autocommit() as tx:
        tx.execute("UPDATE secrets SET sealed = '\\x00' WHERE scope = %s", (asleep.id,))
    job = asleep.ask(lifecycle.wake)
    assert (job.status, asleep.row()["status"]) == ("failed", "sleeping")
    with pytest.raises(ProjectBusy):
        asleep.ask(lifecycle.wake)
    assert kinds_of_open_jobs(asleep) == []
