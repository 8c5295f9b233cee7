"""A schema of thousands: read once, held in little memory, named wrongly at no cost, changed without a failed request."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from itertools import pairwise

import psycopg
import pytest

from app.data.plan import schema
from scripts.bench.large_schema.bench import CACHE_MB, DESCRIPTION, EMBEDDING, FIRST
from scripts.bench.large_schema.generator import SchemaSize, create, statements, table_name
from scripts.bench.large_schema.measures import MB, ask, cache_bytes, embedding_target, measure, unknown_names
from tests.app.data.worlds import World

SMALL = SchemaSize(tables=240, functions=160, views=40)
# What the cache of the large one may hold, for as many as there are here.
SHARE = (SMALL.tables + SMALL.functions + SMALL.views) / (3000 + 2000 + 500)
# How much slower than on a machine of its own these may be on one that others use too.
BUSY = 3


@contextmanager
def generated(tenant, server_url, size):
    """Give a database with a generated schema, and a data API that keeps no stamp of it."""
    name = f"ldbtest_{secrets.token_hex(6)}"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        try:
            with psycopg.connect(server_url, dbname=name, autocommit=True) as owner:
                uri = tenant.uri(tenant.roles.authenticator, name)
                world = World(owner, "", uri, tenant.roles.anon)
                create(owner, size, tenant.roles.anon)
                owner.execute("ANALYZE")
                yield world
                world.pool.close()
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def small(tenant, server_url):
    with generated(tenant, server_url, SMALL) as world:
        yield world


@pytest.fixture(scope="module", params=["stamped", "no stamp"])
def kept(request, small):
    """The database as it is, and one that keeps a stamp of its schema."""
    if request.param == "stamped":
        small.owner.execute(
            "CREATE SCHEMA launchdb; GRANT USAGE ON SCHEMA launchdb TO PUBLIC;"
            "CREATE FUNCTION launchdb.schema_stamp() RETURNS bigint LANGUAGE sql STABLE AS"
            " 'SELECT count(*) FROM pg_catalog.pg_attribute'"
        )
    yield small
    small.owner.execute("DROP SCHEMA IF EXISTS launchdb CASCADE")


class CountingConnection(psycopg.Connection):
    """A connection that knows what it was asked."""

    def execute(self, query, *args, **kwargs):
        self.asked.append(query if isinstance(query, str) else query.as_string(None))
        return super().execute(query, *args, **kwargs)


def loaded(world, parts, before=None):
    """Return what is read of the catalogue, and how many queries that took."""
    with CountingConnection.connect(world.config.db_uri, autocommit=True) as connection:
        connection.asked = []
        cache = schema.load(connection, ("public",), ("public",), frozenset(parts), before)
        return cache, [text for text in connection.asked if "pg_class" in text or "pg_proc" in text]


def test_what_is_known_is_not_read_again_when_more_of_the_schema_is_needed(kept):
    prints = not loaded(kept, ())[0].stamped
    relations, asked = loaded(kept, ())
    assert len(asked) == 1 + prints
    linked, asked = loaded(kept, (schema.LINKS,), relations)
    assert len(asked) == 3 + prints, "foreign keys, views and keys, and none of the relations"
    assert {id(table) for table in relations.tables.values() if not table.is_view} <= {
        id(table) for table in linked.tables.values()
    }
    whole, asked = loaded(kept, (schema.ROUTINES,), linked)
    assert len(asked) == 1 + prints
    assert whole.relationships is linked.relationships
    assert whole.parts == {schema.LINKS, schema.ROUTINES}
    at_once, _ = loaded(kept, (schema.LINKS, schema.ROUTINES))
    assert (at_once.tables, at_once.relationships) == (whole.tables, whole.relationships)
    assert at_once.routines == whole.routines


def test_what_has_changed_is_read_whole(kept):
    before, _ = loaded(kept, ())
    kept.owner.execute(f"ALTER TABLE {table_name(3)} ADD COLUMN changed_{secrets.token_hex(4)} int")
    after, asked = loaded(kept, (schema.LINKS,), before)
    assert after.stamp != before.stamp
    assert len(asked) >= 4
    changed = {name for name, table in after.tables.items() if table != before.tables.get(name)}
    assert table_name(3) in {name.name for name in changed}


def test_a_schema_cache_holds_little_memory(small):
    assert cache_bytes(small.instance) < CACHE_MB * MB * SHARE


def test_names_that_there_are_not_read_nothing_again(kept):
    instance = kept.instance()
    instance.ready()
    before = sum(instance.pool.counters.loads.values())
    for target in unknown_names():
        assert ask(instance, target).status in (400, 404), target
    assert sum(instance.pool.counters.loads.values()) == before


def test_a_schema_changes_without_a_failed_request(kept):
    instance, statuses = kept.instance(), []
    target = embedding_target(kept.owner)
    for number in range(12):
        kept.owner.execute(f"ALTER TABLE {table_name(2)} ADD COLUMN added_{number}_{secrets.token_hex(3)} int")
        statuses += [ask(instance, each).status for each in (f"/{table_name(2)}?limit=1", target, "/")]
    assert statuses == [200] * len(statuses)


def test_the_same_seed_makes_the_same_schema():

    one, two = (list(statements(SMALL, "anon", seed=5)) for _ in range(2))
    assert one == two
    assert one != list(statements(SMALL, "anon", seed=6))
    assert all(first != second for first, second in pairwise(one))


@pytest.mark.full
@pytest.mark.timing
def test_three_thousand_tables_are_known_in_a_moment(tenant, server_url):
    with generated(tenant, server_url, SchemaSize()) as world:
        found = measure(world.instance, world.owner)
    assert found.first_request < FIRST * BUSY, found
    assert found.first_embedding < EMBEDDING * BUSY, found
    assert found.description < DESCRIPTION * BUSY, found
    assert (found.reloads, found.failed) == (0, 0), found
    assert found.cache_mb < CACHE_MB, found
