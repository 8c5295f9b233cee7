"""What one project takes of what all share: it is ended, and the others go on."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager

import psycopg
import pytest

from catalog import endings
from infra.postgres.watch.cpu_share import LOW
from infra.postgres.watch.snapshot import MIB
from tests.fixtures.rivals import SLEEP, let_in, lifted, logged_in, running
from tests.fixtures.servers import wait_until

# Takes as many as there are, keeps them although it is told that there are no more, and sleeps on them.
SESSION_LOCKS = """DO $$ BEGIN
    BEGIN PERFORM pg_advisory_lock(i) FROM generate_series(1, 1000000) i; EXCEPTION WHEN out_of_memory THEN NULL; END;
    PERFORM pg_sleep(200); END $$"""
# Those of a transaction go when it is told that there are no more: it stops some hundreds before.
TRANSACTION_LOCKS = """DO $$ BEGIN
    PERFORM pg_advisory_xact_lock(i) FROM generate_series(1, {most}) i; PERFORM pg_sleep(200); END $$"""


@pytest.fixture
def sleeps(attacker):
    """Wait until a session of the attacker's has taken what it wants, and sleeps on it."""
    with attacker.as_admin("postgres") as admin:
        # No name of a database or login: looking one up takes a lock, and there may be none left.
        (number,) = admin.execute("SELECT oid FROM pg_database WHERE datname = %s", (attacker.id,)).fetchone()

        def asleep():
            return admin.execute(
                "SELECT count(*) FROM pg_stat_get_activity(NULL) a WHERE a.wait_event = 'PgSleep' AND a.datid = %s",
                (number,),
                prepare=True,
            ).fetchone() != (0,)

        asleep()
        yield lambda: wait_until(asleep)


@contextmanager
def writer(tenant):
    """A session of the project that writes a row each time it is asked."""
    with tenant.connect(tenant.roles.owner) as session:
        session.execute("CREATE TABLE IF NOT EXISTS note (text text)")

        def write():
            session.execute("INSERT INTO note VALUES ('noted')")

        yield write


@pytest.mark.parametrize("attack", [SESSION_LOCKS, TRANSACTION_LOCKS], ids=["session", "transaction"])
def test_who_takes_all_locks_of_the_server_is_ended_by_one_look_though_none_is_left(
    watched, attacker, bystander, sleeps, attack
):
    with writer(bystander) as write:
        write()
        assert watched.look() == 0
        size = watched.dog._watch._sizes["locks"]
        watched.limit(locks=0.2)
        with running(logged_in(attacker), attack.format(most=size)) as came:
            sleeps()
            if attack is SESSION_LOCKS:
                with pytest.raises(psycopg.errors.OutOfMemory):
                    write()
            assert watched.look() == 1, "Who holds more locks than their share is ended"
            wait_until(lambda: came)
            assert isinstance(came[0], psycopg.OperationalError)
        write()
    [(action, _, detail)] = watched.audited(attacker)
    assert action == "watchdog.locks"
    assert detail["sessions"][0]["login"] == attacker.roles.owner
    assert watched.audited(bystander) == []


def test_it_does_not_wait_for_its_next_look_when_locks_become_short(watched, attacker, sleeps):
    watched.look()
    assert watched.dog._watch.wait(0.1, 0.2) == (False, [])
    with running(logged_in(attacker), SESSION_LOCKS) as came:
        short, [ended] = watched.dog._watch.wait(600.0, 0.2)
        assert short
        assert (ended.project, ended.login) == (attacker.id, attacker.roles.owner)
        wait_until(lambda: came)
        assert isinstance(came[0], psycopg.OperationalError)


@pytest.mark.timing
def test_who_alone_takes_locks_without_an_end_is_ended_by_the_server_and_it_is_written_down(
    watched, attacker, bystander
):
    watched.limit(locks=0.2)
    watched.look()
    with writer(bystander) as write, running(logged_in(attacker), SESSION_LOCKS) as came:
        ended = watched.dog.run_once()
        assert ended == 1
        wait_until(lambda: came)
        write()
    watched.look()  # what could not be written while it held the locks is written now
    [(action, outcome, detail)] = watched.audited(attacker)
    assert (action, outcome) == ("watchdog.locks", "ended")
    assert [session["login"] for session in detail["sessions"]] == [attacker.roles.owner]
    assert watched.audited(bystander) == []


@pytest.mark.timing
def test_the_lock_table_is_guarded_while_the_watchdog_is_at_something_else(watched, attacker, bystander):
    watched.limit(locks=0.2)
    watched.look()
    guard = threading.Thread(target=watched.dog.guard_locks)
    with writer(bystander) as write, running(logged_in(attacker), SESSION_LOCKS) as came:
        guard.start()
        wait_until(lambda: came)
        guard.join(20)
        write()
    assert watched.audited(attacker) == []
    watched.look()
    assert [action for action, _, _ in watched.audited(attacker)] == ["watchdog.locks"]


def test_a_login_that_took_all_locks_is_kept_out_each_time_twice_as_long_and_its_owner_is_told(
    watched, attacker, bystander
):
    watched.limit(locks=0.2)
    for seconds in (10, 20):
        with attacker.connect(attacker.roles.owner) as beside, running(logged_in(attacker), SESSION_LOCKS) as came:
            watched.until_ended()
            wait_until(lambda: came)

            def shut_out():
                watched.look()
                return watched.rows(
                    "SELECT rolconnlimit = 0 AS out FROM pg_roles WHERE rolname = %s", (attacker.roles.owner,)
                )[0]["out"]

            wait_until(shut_out)
            with pytest.raises(psycopg.OperationalError):
                beside.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            attacker.connect(attacker.roles.owner)
        with bystander.connect(bystander.roles.owner) as other:
            assert other.execute("SELECT 1").fetchone() == (1,)
        detail = watched.audited(attacker)[-1][2]
        assert detail["reason"].endswith(f"; {attacker.roles.owner} may not log in for {seconds} seconds")
        let_in(attacker)
    # Who behaves for a quarter of an hour begins anew.
    watched.rows("UPDATE kept_out_logins SET ends_at = now() - interval '16 minutes' RETURNING login")
    with watched.infra.database.autocommit() as tx:
        assert endings.keep_out(tx, attacker.roles.owner, attacker.id) == 10
        assert [endings.keep_out(tx, attacker.roles.owner, attacker.id) for _ in range(6)] == [
            20,
            40,
            80,
            160,
            300,
            300,
        ]
    assert watched.audited(bystander) == []


def test_sessions_of_ours_that_hold_many_locks_are_left_alone(watched, attacker):
    watched.look()
    most = int(watched.dog._watch._sizes["locks"] * 0.01)
    with attacker.as_admin() as admin:
        admin.execute(f"SELECT count(pg_advisory_lock(i)) FROM generate_series(1, {most * 2}) i")
        assert watched.dog._watch.wait(5.0, 0.01) == (True, [])
        assert admin.execute("SELECT 1").fetchone() == (1,)


def test_a_request_takes_no_lock_that_outlives_it_the_owners_tools_do(attacker):
    with lifted(attacker.connect(attacker.roles.authenticator)) as api:
        for role in attacker.roles.api:
            for function in ("pg_advisory_lock", "pg_try_advisory_lock", "pg_advisory_lock_shared"):
                for arguments in ("1", "1, 2"):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege), api.transaction():
                        api.execute(f'SET LOCAL ROLE "{role}"')
                        api.execute(f"SELECT {function}({arguments})")
            with api.transaction():
                api.execute(f'SET LOCAL ROLE "{role}"')
                api.execute(
                    "SELECT pg_advisory_xact_lock(1), pg_try_advisory_xact_lock(1, 2), pg_advisory_unlock_all()"
                )
    with attacker.connect(attacker.roles.owner) as owner:
        assert owner.execute("SELECT pg_try_advisory_lock(1), pg_advisory_unlock(1)").fetchone() == (True, True)


def test_a_listener_that_holds_the_queue_of_notifications_is_ended_and_an_older_transaction_beside_it_is_not(
    watched, attacker, bystander
):
    with (
        logged_in(bystander) as reports,
        logged_in(attacker) as listener,
        attacker.connect(attacker.roles.owner) as fills,
        bystander.connect(bystander.roles.owner) as hears,
    ):
        reports.execute("BEGIN")
        reports.execute("SELECT 1")
        listener.execute("LISTEN x")
        listener.execute("BEGIN")
        listener.execute("SELECT 1")
        hears.execute("LISTEN pgrst")
        for _ in range(4):
            fills.execute("SELECT pg_notify('x', n || repeat('x', 7900)) FROM generate_series(1, 200) n")
        # Of 8 GB; another test's server has none that is smaller.
        watched.limit(queue=5e-4, holding=0.0)
        assert watched.look() == 1
        with pytest.raises(psycopg.OperationalError):
            listener.execute("SELECT 1")
        assert reports.execute("SELECT 1").fetchone() == (1,)

        def drained():
            return watched.rows("SELECT pg_notification_queue_usage() AS used")[0]["used"] < 5e-4

        wait_until(drained)
        assert watched.look() == 0
        listener.close()
    assert [action for action, _, _ in watched.audited(attacker)] == ["watchdog.notify_queue"]
    assert watched.audited(bystander) == []


def test_a_session_that_has_more_memory_than_one_may_is_ended(watched, attacker, bystander, sleeps):
    watched.limit(memory=128 * MIB)
    with (
        running(logged_in(attacker), "SELECT repeat('x', 200000000), pg_sleep(200)") as came,
        running(logged_in(bystander), SLEEP) as other,
    ):
        sleeps()
        assert watched.look() == 1
        wait_until(lambda: came)
        assert isinstance(came[0], psycopg.OperationalError)
        assert other == []
    [(action, _, detail)] = watched.audited(attacker)
    assert action == "watchdog.memory"
    assert "one may have 128" in detail["reason"]


BUSY = "DO $$ BEGIN LOOP END LOOP; END $$"


def nice_of(tenant):
    """Return how far the sessions of a project's owner step back, as the kernel says it."""
    with tenant.as_admin("postgres") as admin:
        rows = admin.execute(
            "SELECT pid FROM pg_stat_activity WHERE usename = %s AND state = 'active'", (tenant.roles.owner,)
        ).fetchall()
    return [os.getpriority(os.PRIO_PROCESS, pid) for (pid,) in rows]


def test_a_session_that_computes_without_an_end_steps_back_behind_its_neighbours(watched, attacker, bystander):
    watched.limit(cpu=0.05)
    began = time.monotonic()
    watched.dog._clock = lambda: 1000.0 + time.monotonic() - began
    with running(logged_in(attacker), BUSY) as came, running(logged_in(bystander), SLEEP) as other:

        def stepped_back():
            watched.dog.look()
            return nice_of(attacker) == [LOW]

        wait_until(stepped_back)
        assert nice_of(bystander) == [os.getpriority(os.PRIO_PROCESS, 0)], "as all that this process has started"
        assert came == other == [], "it goes on"
    [(action, outcome, detail)] = watched.audited(attacker)
    assert (action, outcome) == ("watchdog.cpu", "lowered")
    assert [session["did"] for session in detail["sessions"]] == ["lowered"]
    assert "processors" in detail["reason"]
    assert watched.audited(bystander) == []


@pytest.mark.parametrize(
    "setting", ["temp_file_limit = -1", "max_stack_depth = '7MB'", "session_replication_role = replica"]
)
def test_what_the_server_limits_for_all_no_tenant_lifts(attacker, setting):
    with attacker.connect(attacker.roles.owner) as owner, pytest.raises(psycopg.errors.InsufficientPrivilege):
        owner.execute(f"SET {setting}")
