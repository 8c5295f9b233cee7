"""What fits: the guide's own figures, and pools that Postgres cannot serve are refused with the way out."""

from __future__ import annotations

import pytest

from catalog import capacity
from catalog.capacity import ConnectionUse, PoolsDoNotFit


@pytest.fixture
def operator(town):
    return town.owner(operator=True)


@pytest.mark.parametrize(("projects", "memory"), [(0, 3000), (20, 4000), (50, 5500)])
def test_the_memory_is_what_the_guide_plans(projects, memory):
    assert capacity.memory_mb(projects, 500) == memory


def test_more_connections_cost_memory():
    assert capacity.memory_mb(50, 1000) == 6000


def test_the_disk_is_what_the_guide_plans():
    assert capacity.storage_gb(50, 5, 30) == 222
    assert capacity.recommended_disk_gb(222) == (250, 300)


def test_the_guides_own_hundred_projects_fit_a_thousand_connections_only():
    pools = {"reserved": 3, "direct": 128, "pools": 500, "reserves": 200, "in_use": 0}
    assert (ConnectionUse(500, **pools).available, ConnectionUse(500, **pools).proposal) == (-131, 700)
    assert ConnectionUse(1000, **pools).available == 369


def pooled(settings, **more):
    return settings.model_copy(update={"pooler_url": "postgresql://launchdb_pooler_admin@127.0.0.1/pgbouncer", **more})


def room(infra):
    with infra.database.autocommit() as tx:
        return capacity.connection_use(tx, pooled(infra.settings, database_pool_size=2)).available


def test_pools_that_do_not_fit_are_refused_where_there_is_a_pooler(infra, project):
    settings = pooled(infra.settings, database_pool_size=2)
    most = room(infra)
    assert most > 0
    with infra.database.transaction() as tx:
        tx.execute("UPDATE projects SET pool_size = 5 + least(%s, 95) WHERE id = %s", (most, project))
        capacity.check_pools_fit(tx, settings)
        with pytest.raises(PoolsDoNotFit, match=r"set POSTGRES_MAX_CONNECTIONS to [0-9]+00 or more"):
            capacity.check_pools_fit(tx, pooled(infra.settings, database_pool_size=200))
        capacity.check_pools_fit(tx, infra.settings)


def test_an_operator_sees_what_fits_and_plans_ahead(operator):
    found = operator.get("/api/admin/capacity").json()
    assert found["connections"]["max"] >= found["connections"]["inUse"] > 0
    assert (found["poolSize"], found["pooler"]) == (5, False)
    ahead = operator.get("/api/admin/capacity?projects=50").json()
    assert ahead["projects"] == 50
    assert ahead["memoryMb"] == capacity.memory_mb(50, ahead["connections"]["max"])


def test_one_request_sets_the_pool_of_every_project_and_of_those_to_come(operator):
    first = operator.post("/api/projects", json={"name": "first"}).json()["project"]
    assert first["poolSize"] == 5
    done = operator.patch("/api/admin/capacity", json={"poolSize": 10}).json()
    assert (done["poolSize"], done["changed"]) == (10, 1)
    assert operator.get(f"/api/projects/{first['id']}").json()["poolSize"] == 10
    assert operator.post("/api/projects", json={"name": "second"}).json()["project"]["poolSize"] == 10


def test_nobody_else_sees_or_sets_it(owner):
    assert owner.get("/api/admin/capacity").status_code == 404
    assert owner.patch("/api/admin/capacity", json={"poolSize": 10}).status_code == 404


def test_whatever_number_a_live_worker_has_nobody_waits_for_it(infra):
    """A worker's session holds its number for as long as it lives; whoever waited for that would wait for ever."""
    with infra.database.connect(application_name="a worker") as worker:
        worker.execute("SELECT pg_advisory_lock(19524, number) FROM generate_series(1, 100) AS number")
        with infra.database.transaction() as tx:
            tx.execute("SET LOCAL lock_timeout = '2s'")
            capacity.check_pools_fit(tx, pooled(infra.settings, database_pool_size=2))
