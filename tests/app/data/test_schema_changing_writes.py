"""Writes that change the schema themselves, or take longer than it stays as it is: they are carried out."""

from __future__ import annotations

import json
import threading

import psycopg
import pytest

from app.data.run import instance as instances
from tests.app.data.asked import WROTE, named
from tests.app.data.harm import ask
from tests.fixtures.servers import wait_until

MOMENT = "2024-05-06T07:08:09+00:00"
DOES = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS"
TABLE = "CREATE TABLE {t} (id int PRIMARY KEY, d date)"
INSERT = ("POST", "/{t}", {"id": 1}, WROTE)
CALL = ("POST", "/rpc/{t}_f", {}, {})
CHANGING = {
    "a trigger that refreshes": (
        f"""CREATE MATERIALIZED VIEW {{t}}_m AS SELECT count(*) n FROM {{t}}; CREATE FUNCTION {{t}}_g() RETURNS trigger {DOES}
        'BEGIN REFRESH MATERIALIZED VIEW {{t}}_m; RETURN NULL; END';
        CREATE TRIGGER g AFTER INSERT ON {{t}} EXECUTE FUNCTION {{t}}_g()""",
        INSERT, "SELECT n FROM {t}_m",
    ),
    "a trigger that makes a partition": (
        f"""CREATE TABLE {{t}}_p (id int) PARTITION BY LIST (id); CREATE FUNCTION {{t}}_g() RETURNS trigger {DOES}
        'BEGIN CREATE TABLE IF NOT EXISTS {{t}}_p1 PARTITION OF {{t}}_p FOR VALUES IN (1);
        INSERT INTO {{t}}_p VALUES (NEW.id); RETURN NEW; END';
        CREATE TRIGGER g BEFORE INSERT ON {{t}} FOR EACH ROW EXECUTE FUNCTION {{t}}_g()""",
        INSERT, "SELECT count(*) FROM {t}_p1",
    ),
    "a function that creates a table": (
        f"""CREATE FUNCTION {{t}}_f() RETURNS void {DOES}
        'BEGIN CREATE TABLE IF NOT EXISTS {{t}}_made (n int); INSERT INTO {{t}}_made VALUES (1); END'""",
        CALL, "SELECT count(*) FROM {t}_made",
    ),
    "a function that grants": (
        f"""CREATE FUNCTION {{t}}_f() RETURNS void {DOES} 'BEGIN GRANT SELECT ON {{t}} TO PUBLIC; END'""",
        CALL, "SELECT count(*) FROM pg_class, aclexplode(relacl) WHERE relname = '{t}' AND grantee = 0",
    ),
    "one row asked for": (
        f"""CREATE FUNCTION {{t}}_f() RETURNS SETOF {{t}} {DOES} 'BEGIN CREATE TABLE {{t}}_made AS SELECT 1;
        RETURN QUERY INSERT INTO {{t}} VALUES (1, NULL) RETURNING *; END'""",
        (*CALL[:3], {"accept": "application/vnd.pgrst.object+json"}), "SELECT count(*) FROM {t}, {t}_made",
    ),
}  # fmt: skip


@pytest.fixture(params=["stamped", "plain"])
def world(request):
    """A database that keeps a stamp of its schema, and one that keeps none."""
    return request.getfixturevalue(request.param)


def waiting(world, kind, key):
    """Return whether somebody waits for a lock."""
    query = "SELECT FROM pg_locks WHERE NOT granted AND locktype = %s AND coalesce(relation, objid) = %s"
    return world.owner.execute(query, (kind, key)).fetchone() is not None


def begun(instance, request):
    """Ask in a thread; return it and the list that its answer goes to."""
    answers: list[tuple[int, str]] = []
    client = threading.Thread(target=lambda: answers.append(ask(instance, *request)), daemon=True)
    client.start()
    return client, answers


@pytest.mark.parametrize(("before", "request_", "done"), CHANGING.values(), ids=list(CHANGING))
def test_a_write_that_changes_the_schema_itself_is_carried_out_once(world, before, request_, done):
    names = world.names()
    world.owner.execute(named(f"{TABLE}; {before}", **names))
    status, text = ask(world.instance(), *named(list(request_), **names))
    assert status in (200, 201, 204), text
    assert world.owner.execute(named(done, **names)).fetchone() == (1,)


def test_a_write_that_changes_the_schema_is_planned_by_what_somebody_else_changes_meanwhile(world):
    """Its second try waits for the other, who has not committed when it begins."""
    names = world.names()
    key = int(names["t"][1:])
    world.owner.execute(named(f"{TABLE}; CREATE FUNCTION {{t}}_g() RETURNS trigger {DOES} 'BEGIN "
        f"PERFORM pg_advisory_xact_lock({key}); CREATE TABLE IF NOT EXISTS {{t}}_made (n int); RETURN NEW; END'; "
        "CREATE TRIGGER g BEFORE INSERT ON {t} FOR EACH ROW EXECUTE FUNCTION {t}_g()", **names))  # fmt: skip
    table = world.owner.execute("SELECT %s::regclass::oid", (names["t"],)).fetchone()[0]
    world.owner.execute("SELECT pg_advisory_lock(%s)", (key,))
    client, answers = begun(world.instance(), named(["POST", "/{t}", {"id": 2, "d": MOMENT}, WROTE], **names))
    wait_until(lambda: waiting(world, "advisory", key))

    def alter() -> None:
        with psycopg.connect(world.dsn) as other:
            other.execute(named("ALTER TABLE {t} ALTER d TYPE timestamptz", **names))
            wait_until(lambda: waiting(world, "relation", table))

    other = threading.Thread(target=alter, daemon=True)
    other.start()
    wait_until(lambda: waiting(world, "relation", table))
    world.owner.execute("SELECT pg_advisory_unlock(%s)", (key,))
    client.join(20)
    other.join(20)
    assert answers[0][0] == 201, answers
    assert json.loads(answers[0][1])[0]["d"] == MOMENT


def test_a_write_that_takes_longer_than_the_schema_stays_is_carried_out_once(world, monkeypatch):
    monkeypatch.setattr(instances, "PATIENCE_SECONDS", 0.0)
    names = world.names()
    key = int(names["t"][1:])
    world.owner.execute(named(f"{TABLE}; CREATE FUNCTION {{t}}_f() RETURNS void {DOES} 'BEGIN "
        f"INSERT INTO {{t}} VALUES (1); PERFORM pg_advisory_xact_lock({key}); END'", **names))  # fmt: skip
    world.owner.execute("SELECT pg_advisory_lock(%s)", (key,))
    client, answers = begun(world.instance(), named(list(CALL), **names))
    for number in range(2):
        wait_until(lambda: waiting(world, "advisory", key))
        world.owner.execute(named(f"CREATE TABLE {{t}}_{number} ()", **names))
        world.owner.execute("SELECT pg_advisory_unlock(%s)", (key,))
        world.owner.execute("SELECT pg_advisory_lock(%s)", (key,))
    client.join(20)
    world.owner.execute("SELECT pg_advisory_unlock(%s)", (key,))
    assert answers[0][0] == 204, answers
    assert world.owner.execute(named("SELECT count(*) FROM {t}", **names)).fetchone() == (1,)
