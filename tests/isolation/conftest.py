"""Two tenants on one cluster; what they break of their own is theirs, so they are shared by a whole module."""

from __future__ import annotations

import pytest

from config.settings import load
from infra.composition import Infra
from tests.fixtures.projects import drop, new_tenant


@pytest.fixture(scope="session")
def cluster(server_url, tmp_path_factory):
    """An installation whose platform database is the server's own."""
    opened = Infra.open(
        load(
            {
                "LAUNCHDB_HOME": str(tmp_path_factory.mktemp("home")),
                "LAUNCHDB_DATABASE_URL": server_url,
                "LAUNCHDB_REDIS_URL": "unix:///nowhere",
            }
        )
    )
    opened.databases.ensure_shared_roles("test")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def alice(cluster):
    """The tenant whose logins try things."""
    made = new_tenant(cluster)
    yield made
    drop(cluster, made.id)


@pytest.fixture(scope="module")
def bob(cluster):
    """The tenant that must not notice."""
    made = new_tenant(cluster)
    with made.connect(made.roles.owner) as owner:
        owner.execute("CREATE TABLE secret AS SELECT 'bob''s'::text AS word")
    yield made
    drop(cluster, made.id)
