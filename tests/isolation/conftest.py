"""Two tenants on one cluster; what they break of their own is theirs, so they are shared by a whole module."""

from __future__ import annotations

import pytest

from tests.fixtures.projects import drop, new_tenant


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
