"""A failing request never harms another one: whatever Postgres answers, every good request is answered as if alone."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.app.data.harm import FAILING, Place, ask, carried_out, good, side_by_side
from tests.fixtures.pooler import docker, free_port, image
from tests.fixtures.projects import drop, new_tenant
from tests.fixtures.servers import wait_until

NUMBERS = st.integers(0, 98)
DEED = st.one_of(
    st.tuples(st.just("good"), NUMBERS),
    st.tuples(st.just("fails"), NUMBERS),
    st.tuples(st.sampled_from(["good", "fails", "alters", "forgets", "leaves"]), NUMBERS),
)
# Few shapes, so that what comes again is prepared; each list is done by a client of its own.
LANES = st.lists(st.lists(DEED, min_size=12, max_size=40), min_size=1, max_size=8)
MIX = {"lanes": st.lists(LANES, min_size=1, max_size=2), "pool": st.integers(1, 8), "prepared": st.booleans()}
# What threads do side by side comes out differently each time, so nothing is made smaller.
MANNER = settings(deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
QUICK = settings(MANNER, max_examples=12, derandomize=True)
CONFIGURATION = """[databases]
{id} = host={host} port={port} dbname={id} pool_size={size}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_prepared_statements = {most}
"""


@pytest.fixture(scope="module")
def tenant(cluster):
    """A project's database, made of the template."""
    made = new_tenant(cluster)
    yield made
    drop(cluster, made.id)


@pytest.fixture(scope="module")
def direct(tenant):
    """Its tables, reached without a pooler."""
    with tenant.as_admin() as admin:
        yield Place(admin, tenant.uri(tenant.roles.authenticator), tenant.roles.service)


def whole(place, lanes, pool, prepared):
    """Carry out the lists; between two rounds every session is ended."""
    options = {"db-pool": str(pool), "db-prepared-statements": str(prepared).lower()}
    with closing(place.instance(**options)) as instance:
        for several in lanes:
            assert side_by_side(instance, place, several) == []
            place.end_sessions()
        assert carried_out(instance, place, [("good", number) for number in range(22)]) == []


@QUICK
@given(**MIX)
def test_good_requests_are_answered_whatever_fails_beside_them(direct, lanes, pool, prepared):
    whole(direct, lanes, pool, prepared)
