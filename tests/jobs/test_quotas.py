"""A database that is larger than it may be is read only, whatever its sessions say, until there is room again."""

from __future__ import annotations

import psycopg
import pytest

from jobs.loops.quota_keeper import QuotaKeeper, judge_quota
from jobs.loops.sweeper import Sweeper
from jobs.loops.watchdog import Watchdog
from jobs.requests import doctor
from tests.fixtures.rivals import LIMITS, Watched
from tests.jobs.kinds.conftest import Life

MIB = 1024 * 1024


@pytest.fixture
def life(engine, infra, project):
    """An active project whose database may have two megabytes more than an empty one has."""
    made = Life(engine, infra, project)
    made.provision()
    with infra.database.transaction() as tx:
        empty = tx.value("SELECT pg_database_size(%s)", (project,))
        tx.execute(
            "INSERT INTO project_settings (project_id, settings) VALUES (%s, jsonb_build_object('databaseQuotaMb', %s::int))"
            " ON CONFLICT (project_id) DO UPDATE SET settings = excluded.settings",
            (project, empty // MIB + 3),
        )
    return made


@pytest.fixture
def keeper(infra):
    return QuotaKeeper(infra)


def fill(session, megabytes):
    session.execute("CREATE TABLE IF NOT EXISTS filling (text text)")
    session.execute("ALTER TABLE filling ALTER text SET STORAGE EXTERNAL")
    session.execute("INSERT INTO filling SELECT repeat('x', 1000000) FROM generate_series(1, %s)", (megabytes,))


def owner(life):
    return life.tenant().connect(life.tenant().roles.owner)


def audited(life):
    with life.infra.database.autocommit() as tx:
        return [
            row["action"]
            for row in tx.rows(
                "SELECT action FROM audit WHERE project_id = %s AND action ~ '^(quota|watchdog)' ORDER BY id",
                (life.id,),
            )
        ]


def findings(life):
    with life.infra.database.autocommit() as tx:
        return [one.evidence for one in doctor.watchdog(tx, life.infra.settings) if one.subject == life.id]


@pytest.mark.parametrize(
    ("megabytes", "quota", "state", "stands"),
    [
        (89, 100, "free", "free"),
        (91, 100, "free", "warned"),
        (101, 100, "warned", "over"),
        (97, 100, "over", "over"),
        (94, 100, "over", "warned"),
        (89, 100, "over", "free"),
        (500, 0, "over", "free"),
    ],
)
def test_a_database_near_its_quota_is_warned_of_and_one_over_it_has_to_shrink_a_little_to_be_written_to(
    megabytes, quota, state, stands
):
    assert judge_quota(megabytes * MIB, quota * MIB, state).state == stands


def test_a_project_over_its_quota_may_only_read_and_deletion_frees_it(life, keeper, engine):
    with owner(life) as session:
        fill(session, 5)
    assert keeper.run_once() == 1
    engine.runner.drain()
    assert Sweeper(life.infra).run_once() == 0, "what is over its quota is as it should be"
    with owner(life) as session:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            session.execute("INSERT INTO filling VALUES ('more')")
        assert session.execute("SELECT count(*) FROM filling").fetchone() == (5,)
        assert any("is over its quota" in said for said in findings(life))
        session.execute("SET default_transaction_read_only = off")
        session.execute("DELETE FROM filling")
        session.execute("VACUUM FULL filling")
    assert keeper.run_once() == 1
    engine.runner.drain()
    with owner(life) as session:
        session.execute("INSERT INTO filling VALUES ('more')")
    assert [action for action in audited(life) if action.startswith("quota")] == ["quota.over", "quota.free"]
    assert not any("is over its quota" in said for said in findings(life))


def test_who_writes_over_the_quota_all_the_same_is_ended_who_deletes_is_not_and_who_goes_on_is_paused(
    life, keeper, engine, infra
):
    with owner(life) as session:
        fill(session, 5)
    keeper.run_once()
    engine.runner.drain()
    watched = Watched(infra, Watchdog(infra, LIMITS))
    watched.dog._clock = watched.dog._watch._clock = lambda: watched.now
    assert watched.look() == 0
    with owner(life) as deletes:
        deletes.execute("SET default_transaction_read_only = off")
        deletes.execute("DELETE FROM filling WHERE ctid = (SELECT min(ctid) FROM filling)")
        assert watched.look() == 0
        writes = owner(life)
        writes.execute("SET default_transaction_read_only = off")
        writes.execute("BEGIN")
        fill(writes, 8)
        assert watched.look() == 1
        assert deletes.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError):
            writes.execute("SELECT 1")
        writes.close()
    assert keeper.run_once() == 0
    again = owner(life)
    again.execute("SET default_transaction_read_only = off")
    for changed in (0, 1):
        fill(again, 3)
        assert keeper.run_once() == changed
    again.close()
    engine.runner.drain()
    assert life.row()["status"] == "paused"
    watched.dog.close()
    assert audited(life) == ["quota.over", "watchdog.quota", "quota.paused"]
