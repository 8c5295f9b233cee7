"""project.configure: a changed pool size takes effect; a paused project stays closed."""

from __future__ import annotations

from infra.postgres.limits import ProjectLimits
from jobs.requests import lifecycle


def give(life, pool_size):
    with life.infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET pool_size = %s WHERE id = %s", (pool_size, life.id))


def test_a_changed_pool_size_takes_effect_and_nobody_is_put_out(life):
    life.provision()
    give(life, 9)
    tenant = life.tenant()
    with tenant.connect(tenant.roles.owner) as owner:
        job = life.ask(lifecycle.configure)
        assert owner.execute("SELECT 1").fetchone() == (1,)
    assert (job.status, job.error) == ("succeeded", None)
    given = job.result.pop("settings")
    assert job.result == {"projectId": life.id, "poolSize": 9, "settingsVersion": 0}
    assert (given["maxRows"], given["connections"], given["schemas"]) == (1000, 30, ["public", "storage"])
    assert "db-pool = 9" in (life.folder() / "data-api.conf").read_text()


def test_limits_are_set_anew(life):
    life.provision()
    with life.tenant().as_admin() as admin:
        admin.execute(f'ALTER DATABASE "{life.id}" CONNECTION LIMIT 1')
        life.ask(lifecycle.configure)
        limit = admin.execute("SELECT datconnlimit FROM pg_database WHERE datname = %s", (life.id,)).fetchone()
    assert limit == (ProjectLimits.of(life.infra.settings).session_limit,)


def test_a_paused_project_takes_up_the_change_when_it_is_resumed(life):
    life.provision()
    life.ask(lifecycle.pause)
    give(life, 9)
    assert life.ask(lifecycle.configure).status == "succeeded"
    assert not life.folder().exists()
    life.ask(lifecycle.resume)
    assert "db-pool = 9" in (life.folder() / "data-api.conf").read_text()


def test_changes_that_wait_are_made_by_one_job_and_stand_in_nobodys_way(life):
    life.provision()
    with life.infra.database.transaction() as tx:
        first = lifecycle.configure(tx, life.id)
        assert lifecycle.configure(tx, life.id).id == first.id
        lifecycle.restart(tx, life.id)
    life.engine.runner.drain()
    assert life.engine.job(first.id).status == "succeeded"
