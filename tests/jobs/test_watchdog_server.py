"""What can only be tried on a server whose queue is short and whose autovacuum comes each second."""

from __future__ import annotations

import psycopg
import pytest

from jobs.requests import doctor
from tests.fixtures.projects import new_tenant
from tests.fixtures.rivals import logged_in, own, watching
from tests.fixtures.servers import wait_until

# Whoever comes over the network is served at once; autovacuum, which comes from nowhere, is not.
SLEEPING_INDEX = """
CREATE OR REPLACE FUNCTION slow(value int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF inet_client_addr() IS NULL THEN PERFORM pg_sleep(200); END IF;
    RETURN value;
END $$;
CREATE TABLE {table} (id int);
CREATE INDEX ON {table} (slow(id));
INSERT INTO {table} SELECT generate_series(1, 1000);
"""


@pytest.fixture
def rivals(small):
    attacker, bystander = new_tenant(small), new_tenant(small)
    with watching(small, attacker, bystander) as watched:
        yield watched, attacker, bystander


def test_everybody_changes_their_schema_while_a_listener_keeps_the_queue_of_notifications_full(rivals):
    watched, attacker, bystander = rivals
    with (
        logged_in(attacker) as listener,
        attacker.connect(attacker.roles.owner) as fills,
        bystander.connect(bystander.roles.owner) as owner,
        bystander.connect(bystander.roles.authenticator) as hears,
    ):
        hears.execute("LISTEN pgrst")
        listener.execute("LISTEN x")
        listener.execute("BEGIN")
        listener.execute("SELECT 1")

        def fill(pages):
            fills.execute("SELECT pg_notify('x', n || repeat('x', 7900)) FROM generate_series(1, %s) n", (pages,))

        with pytest.raises(psycopg.errors.ProgramLimitExceeded):  # "too many notifications in the NOTIFY queue"
            while True:
                fill(1)
        owner.execute("CREATE TABLE made_while_it_was_full ()")
        assert owner.execute("SELECT launchdb.schema_stamp()").fetchone() != (0,)
        watched.limit(queue=0.1, holding=0.0)
        assert watched.look() == 1
        owner.execute("CREATE TABLE made_afterwards ()")
        assert [note.payload for note in hears.notifies(timeout=5, stop_after=1)] == ["reload schema"]
        listener.close()
    assert [action for action, _, _ in watched.audited(attacker)] == ["watchdog.notify_queue"]


def test_autovacuum_looks_after_the_others_though_a_projects_functions_put_its_workers_to_sleep(rivals):
    watched, attacker, bystander = rivals
    watched.limit(autovacuum=30.0)
    with attacker.connect(attacker.roles.owner) as owner:
        for table in ("first", "second", "third"):
            owner.execute(SLEEPING_INDEX.format(table=table))
    with attacker.as_admin("postgres") as admin, bystander.as_admin() as inside:

        def asleep():
            return admin.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker' AND datname = %s"
                " AND wait_event = 'PgSleep'",
                (attacker.id,),
            ).fetchone()[0]

        # Nobody ends them yet: all of the server's workers sleep.
        wait_until(lambda: asleep() == 3)
        assert watched.look() == 1
        inside.execute("CREATE TABLE mine AS SELECT generate_series(1, 1000) AS id")

        def looked_after():
            watched.look(1.0)
            return inside.execute(
                "SELECT last_autoanalyze IS NOT NULL FROM pg_stat_all_tables WHERE relname = 'mine'"
            ).fetchone() == (True,)

        wait_until(looked_after)
    assert {action for action, _, _ in watched.audited(attacker)} == {"watchdog.autovacuum"}
    assert watched.audited(bystander) == []
    with watched.infra.database.autocommit() as tx:
        [found] = [
            one
            for one in doctor.watchdog(tx, watched.infra.settings)
            if one.subject == attacker.id and "autovacuum" in one.evidence
        ]
    assert found.status == "warning"


def test_all_projects_of_an_owner_that_take_all_connections_make_room_for_others_and_never_keep_ours_out(rivals):
    watched, attacker, bystander = rivals
    accomplice = new_tenant(watched.infra)
    with watched.infra.database.transaction() as tx:
        owner = tx.value("SELECT owner_id FROM projects WHERE id = %s", (attacker.id,))
    own(watched.infra, accomplice)
    watched.rows("UPDATE projects SET owner_id = %s WHERE id = %s RETURNING id", (owner, accomplice.id))
    watched.limit(owner=0.5)
    busy = logged_in(attacker)
    busy.execute("BEGIN")
    taken = [busy]
    with pytest.raises(psycopg.OperationalError, match="reserved"):
        while True:
            taken.append(attacker.connect(attacker.roles.owner))
            taken.append(accomplice.connect(accomplice.roles.owner))
    with pytest.raises(psycopg.OperationalError, match="reserved"):
        bystander.connect(bystander.roles.owner)
    with bystander.as_admin() as ours:
        ours.execute("SELECT 1")
    assert watched.look(60.0) >= len(taken) / 3
    with bystander.connect(bystander.roles.owner) as owner_of_the_other:
        owner_of_the_other.execute("SELECT 1")
    busy.execute("SELECT 1")
    for session in taken:
        session.close()
    causes = {action for tenant in (attacker, accomplice) for action, _, _ in watched.audited(tenant)}
    assert causes == {"watchdog.connections"}
    assert watched.audited(bystander) == []


def test_a_statement_that_wants_more_memory_than_a_process_may_have_is_refused_and_its_session_goes_on(rivals):
    _, attacker, bystander = rivals
    with attacker.connect(attacker.roles.owner) as owner, bystander.connect(bystander.roles.owner) as other:
        with pytest.raises(psycopg.errors.OutOfMemory):
            owner.execute(
                "SELECT array_length(array_agg(repeat('x', 1000000) || n), 1) FROM generate_series(1, 2700) n"
            )
        assert owner.execute("SELECT 1").fetchone() == (1,)
        assert other.execute("SELECT 1").fetchone() == (1,)
