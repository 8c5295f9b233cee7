"""A change that commits between the plan and the write: what is stored is what the new schema makes of the request."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager

import psycopg
import pytest

from tests.app.data.asked import WROTE, named
from tests.app.data.harm import ask
from tests.fixtures.servers import wait_until

MOMENT = "2024-05-06T07:08:09+00:00"
OFTEN = 7
BEFORE = """CREATE TABLE {t} (id int PRIMARY KEY, d date); INSERT INTO {t} VALUES (1, '2000-01-01');
CREATE FUNCTION {t}_f(i int, d date) RETURNS void LANGUAGE sql AS 'INSERT INTO {t} VALUES (i, d)'"""
CHANGE = """ALTER TABLE {t} ALTER d TYPE timestamptz; DROP FUNCTION {t}_f(int, date);
CREATE FUNCTION {t}_f(i int, d timestamptz) RETURNS void LANGUAGE sql AS 'INSERT INTO {t} VALUES (i, d)'"""
WRITES = {
    "inserted": ("POST", "/{t}", {"id": 2, "d": MOMENT}, WROTE),
    "inserted unseen": ("POST", "/{t}", [{"id": 2, "d": MOMENT}], {}),
    "merged": ("POST", "/{t}", {"id": 1, "d": MOMENT}, {"prefer": "resolution=merge-duplicates"}),
    "put": ("PUT", "/{t}?id=eq.1", {"id": 1, "d": MOMENT}, {}),
    "changed": ("PATCH", "/{t}?id=eq.1", {"d": MOMENT}, {}),
    "changed, one at most": ("PATCH", "/{t}?id=eq.1", {"d": MOMENT}, {"prefer": "handling=strict, max-affected=1"}),
    "written by a function": ("POST", "/rpc/{t}_f", {"i": 2, "d": MOMENT}, {}),
}


@pytest.fixture(params=["stamped", "plain"])
def world(request):
    """A database that keeps a stamp of its schema, and one that keeps none."""
    return request.getfixturevalue(request.param)


def waits_for(world, table):
    waiting = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = %s"
    return world.owner.execute(waiting, (table,)).fetchone()[0]


@contextmanager
def held_back(world, names, request):
    """Make a request wait for a change that has not committed; commit when the block ends and give the answer."""
    instance, answers = world.instance(), []
    for _ in range(OFTEN):
        ask(instance, "PATCH", *named([f"/{{t}}?id=eq.{0}", {"d": MOMENT}], **names))
        ask(instance, *named(list(request), **names))
        world.owner.execute(named("DELETE FROM {t} WHERE id > 1", **names))
    client = threading.Thread(target=lambda: answers.append(ask(instance, *named(list(request), **names))), daemon=True)
    table = world.owner.execute("SELECT %s::regclass::oid", (names["t"],)).fetchone()[0]
    with world.owner.transaction():
        world.owner.execute(named(CHANGE, **names))
        client.start()
        wait_until(lambda: waits_for(world, table))
    client.join(20)
    yield answers[0]


@pytest.mark.parametrize("request_", WRITES.values(), ids=list(WRITES))
def test_a_write_that_waited_for_a_change_is_planned_by_it(world, request_):
    names = world.names()
    world.owner.execute(named(BEFORE, **names))
    with held_back(world, names, request_) as (status, text):
        assert status in (200, 201, 204), text
    query = named("SELECT d AT TIME ZONE 'UTC' = '2024-05-06 07:08:09' FROM {t} ORDER BY id DESC LIMIT 1", **names)
    stored = world.owner.execute(query).fetchone()
    assert stored == (True,), "A write is planned by the schema that is there when it has its locks"
    if status == 201 and text:
        assert json.loads(text)[0]["d"] == MOMENT


def test_a_write_whose_table_is_dropped_meanwhile_stores_nothing_and_says_why(world):
    names = world.names()
    world.owner.execute(named(BEFORE, **names))
    instance, answers = world.instance(), []
    request = named(["POST", "/{t}", {"id": 5, "d": MOMENT}], **names)
    ask(instance, *request)
    table = world.owner.execute("SELECT %s::regclass::oid", (names["t"],)).fetchone()[0]
    client = threading.Thread(target=lambda: answers.append(ask(instance, *request)), daemon=True)
    with world.owner.transaction():
        world.owner.execute(named("DROP FUNCTION {t}_f; DROP TABLE {t}", **names))
        client.start()
        wait_until(lambda: waits_for(world, table))
    client.join(20)
    assert answers[0][0] == 404
    assert json.loads(answers[0][1])["code"] == "PGRST205"


def test_writes_wait_for_a_migration_of_many_files_and_none_is_refused(stamped):
    names = stamped.names()
    stamped.owner.execute(named("CREATE TABLE {t} (id int)", **names))
    instance = stamped.instance()

    def alter() -> None:
        with psycopg.connect(stamped.dsn, autocommit=True) as migration:
            for number in range(50):
                migration.execute(named(f"CREATE TABLE {{t}}_{number} (id int)", **names))

    migration = threading.Thread(target=alter, daemon=True)
    migration.start()
    found = [ask(instance, *named(["POST", "/{t}", {"id": number}], **names))[0] for number in range(30)]
    migration.join(20)
    assert found == [201] * 30
    assert stamped.owner.execute(named("SELECT count(*) FROM {t}", **names)).fetchone() == (30,)
