"""Sessions as a project's logins: whatever a tenant's SQL does in one, it ends when it has to, and takes nobody along."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest

from infra.errors import LoginRefused, Refused, Unavailable
from infra.postgres.limits import ProjectLimits
from infra.postgres.tenant_session import READ_FACTOR, Bounds, Crowded, TookTooLong, TooLarge, tenant_session
from tests.fixtures.plain_pooler import pooled_by_itself
from tests.fixtures.projects import drop, new_tenant
from tests.fixtures.servers import wait_until

LONG = Bounds(60)
# It catches its own cancellation, again and again.
STUBBORN = """DO $$ BEGIN LOOP
    BEGIN PERFORM pg_sleep(200); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$"""


class Stopped(Exception):
    """What whoever looks raises."""


@pytest.fixture(scope="module")
def tenant(cluster):
    """One project for all that is tried here."""
    made = new_tenant(cluster)
    yield made
    drop(cluster, made.id)


@pytest.fixture
def log_in(tenant):
    """Log in to the project; its owner, unless another login is named."""

    def logged_in(bounds=LONG, *, login=tenant.roles.owner, name="test", **more):
        return tenant_session(tenant.infra.databases.cluster, tenant.uri(login), name, bounds, **more)

    return logged_in


@pytest.fixture
def seen(tenant):
    """Ask who is logged in to the project: name, state and statement of each session."""

    def asked(name="test"):
        with tenant.as_admin("postgres") as admin:
            return admin.execute(
                "SELECT pid, state, query FROM pg_stat_activity WHERE datname = %s AND application_name = %s",
                (tenant.id, name),
            ).fetchall()

    return asked


def after(seconds):
    """Return stop to whoever looks once so many seconds have passed."""
    until = time.monotonic() + seconds

    def look():
        if time.monotonic() > until:
            raise Stopped

    return look


def runs(session, how, query):
    """Run a query in one of the ways there are; all its rows are read."""
    if how == "cursor":
        session.execute(query).fetchall()
    elif how == "stream":
        with session.cursor() as cursor:
            list(cursor.stream(query))
    else:
        list(session.results(query))


WAYS = ("cursor", "stream", "results")


@pytest.mark.parametrize("query", ["SELECT pg_sleep(200)", STUBBORN])
def test_a_tenant_that_lifts_the_servers_limit_is_ended_by_our_clock(query, log_in, seen):
    with pytest.raises(TookTooLong), log_in(Bounds(0.5, statement_seconds=0.5)) as session:
        session.execute("SET statement_timeout = 0")
        list(session.results(query))
    assert seen() == []


@pytest.mark.parametrize("how", WAYS)
def test_our_clock_ends_whatever_way_the_query_was_sent(how, log_in, seen):
    with pytest.raises(TookTooLong), log_in(Bounds(0.2)) as session:
        runs(session, how, "SELECT pg_sleep(200)")
    assert seen() == []


def test_our_clock_counts_small_statements_together(log_in, seen):
    with pytest.raises(TookTooLong), log_in(Bounds(0.2)) as session:
        while True:
            session.execute("SELECT 1")
    assert seen() == []


def test_a_clock_that_was_set_anew_gives_the_time_anew(log_in):
    with log_in(Bounds(0.2)) as session:
        session.allow(60)
        assert session.execute("SELECT 1 FROM pg_sleep(1)").fetchone() == (1,)
        session.allow(0.2)
        with pytest.raises(TookTooLong):
            session.execute("SELECT pg_sleep(200)")


def test_the_servers_limit_comes_first_and_the_session_goes_on(log_in):
    with log_in(Bounds(60, statement_seconds=0.1)) as session:
        with pytest.raises(psycopg.errors.QueryCanceled):
            session.execute("SELECT pg_sleep(200)")
        assert session.execute("SELECT 1").fetchone() == (1,)


def test_what_a_tenant_has_set_for_the_login_or_the_database_does_not_count(tenant, log_in):
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute(f'ALTER ROLE "{tenant.roles.owner}" SET statement_timeout = 0')
        owner.execute(f'ALTER ROLE "{tenant.roles.owner}" SET lock_timeout = 0')
        owner.execute(f"ALTER ROLE \"{tenant.roles.owner}\" SET client_encoding = 'LATIN1'")
    bounds = Bounds(60, statement_seconds=7, lock_seconds=3, idle_seconds=5, settings={"work_mem": "5MB"})
    with log_in(bounds) as session:
        shown = [
            session.execute(f"SHOW {name}").fetchone()[0]
            for name in (
                *("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "work_mem"),
                "client_encoding",
            )
        ]
        session.execute(f'ALTER ROLE "{tenant.roles.owner}" RESET ALL')
    assert shown == ["7s", "3s", "5s", "5MB", "UTF8"]


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize(
    "query", ["SELECT repeat('x', 20000000)", "SELECT repeat('x', 1000) FROM generate_series(1, 500000)"]
)
def test_more_than_anybody_would_read_is_refused(query, how, log_in, seen):
    with pytest.raises(TooLarge), log_in(Bounds(60, size=100_000)) as session:
        runs(session, how, query)
    assert seen() == []


def test_as_much_as_was_said_comes_whole(log_in):
    with log_in(Bounds(60, size=1_000_000)) as session:
        (text,) = session.execute("SELECT repeat('x', %s)", (READ_FACTOR * 900_000,)).fetchone()
    assert len(text) == READ_FACTOR * 900_000


def test_waiting_for_a_lock_ends(tenant, log_in):
    with tenant.connect(tenant.roles.owner) as owner, owner.transaction():
        owner.execute("CREATE TABLE held ()")
    with tenant.connect(tenant.roles.owner) as owner, owner.transaction():
        owner.execute("LOCK TABLE held")
        with pytest.raises(Unavailable, match="55P03"), log_in(Bounds(60, lock_seconds=0.1)) as session:
            session.execute("SELECT * FROM held")
        with pytest.raises(TookTooLong), log_in(Bounds(0.5, lock_seconds=0.1)) as session:
            session.execute("SET lock_timeout = 0")
            session.execute("SELECT * FROM held")


def test_one_that_does_nothing_in_a_transaction_is_ended_by_the_server(log_in, seen):
    with pytest.raises(Unavailable), log_in(Bounds(60, idle_seconds=0.1)) as session:
        session.execute("BEGIN")
        wait_until(lambda: seen() == [])
        session.execute("SELECT 1")


@pytest.mark.parametrize("query", ["SELECT pg_sleep(200)", STUBBORN])
@pytest.mark.parametrize("how", ["cursor", "results"])
def test_whoever_looks_can_end_it_in_the_middle(query, how, log_in, seen):
    with pytest.raises(Stopped), log_in(look=after(0.5)) as session:
        runs(session, how, query)
    assert seen() == []


def test_rows_that_nobody_takes_can_be_stopped(log_in, tenant, seen):
    """A check that sleeps stands in the way of COPY: the server reads no more, and we cannot write."""
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute(
            "CREATE FUNCTION slow(t text) RETURNS bool LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(200); RETURN true; END'"
        )
        owner.execute("CREATE TABLE notes (body text CHECK (slow(body)))")
    with (
        pytest.raises(Stopped),
        log_in(look=after(0.5)) as session,
        session.cursor() as cursor,
        cursor.copy("COPY notes FROM stdin") as copy,
    ):
        while True:
            copy.write(b"x" * 10_000 + b"\n")
    assert seen() == []


def test_a_commit_that_waits_can_be_stopped_and_nothing_of_it_stays(log_in, tenant, seen):
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("CREATE TABLE late_notes (n int)")
        owner.execute(
            "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(200); RETURN NULL; END'"
        )
        owner.execute(
            "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON late_notes DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION late()"
        )
    with pytest.raises(Stopped), log_in(look=after(0.5)) as session, session.transaction():
        session.execute("INSERT INTO late_notes VALUES (1)")
    assert seen() == []
    with tenant.connect(tenant.roles.owner) as owner:
        assert owner.execute("SELECT count(*) FROM late_notes").fetchone() == (0,)


def test_why_it_was_ended_is_said_whatever_is_made_of_it(log_in):
    with pytest.raises(Stopped), log_in(look=after(0.2)) as session:
        try:
            session.execute("SELECT pg_sleep(200)")
        except Stopped:
            session.execute("SELECT 1")


def test_nobody_looks_outside_the_block_that_says_so(log_in):
    with log_in() as session:
        with session.looking(after(60)):
            assert session.look is not None
        session.execute("SELECT pg_sleep(0.6)")
        with pytest.raises(Stopped), session.looking(after(0)):
            session.execute("SELECT pg_sleep(200)")


def test_one_that_is_left_in_the_middle_is_ended(log_in, seen):
    with pytest.raises(ZeroDivisionError), log_in() as session:
        for _row in session.results("SELECT pg_sleep(0), repeat('x', 100000) FROM generate_series(1, 1000000)"):
            raise ZeroDivisionError
    assert seen() == []


def test_another_session_of_the_same_name_goes_on(log_in, tenant, seen):
    going_on = threading.Event()
    done = []

    def go_on():
        with log_in() as session:
            going_on.set()
            done.append(session.execute("SELECT 1 FROM pg_sleep(1)").fetchone())

    other = threading.Thread(target=go_on)
    other.start()
    going_on.wait(30)
    with pytest.raises(TookTooLong), log_in(Bounds(0.1)) as session:
        session.execute("SELECT pg_sleep(200)")
    other.join(30)
    assert done == [(1,)]


@pytest.mark.pgbouncer
@pytest.mark.parametrize("query", ["SELECT pg_sleep(200)", STUBBORN])
def test_one_that_comes_by_a_pooler_is_ended_too_and_others_of_the_pool_go_on(query, tenant, seen, tmp_path):
    cluster = tenant.infra.databases.cluster
    with (
        pooled_by_itself(tenant.uri(tenant.roles.owner), tmp_path) as uri,
        psycopg.connect(uri, application_name="another") as other,
    ):
        other.execute("SELECT 1")
        with (
            pytest.raises(TookTooLong),
            tenant_session(cluster, uri, "by the pooler", Bounds(0.5), pooled=True) as session,
        ):
            session.execute(query)
        assert [state for _pid, state, _query in seen("by the pooler") if state != "idle"] == []
        assert other.execute("SELECT 2").fetchone() == (2,)


def test_what_the_tenant_prepares_or_forgets_breaks_nothing(log_in):
    with log_in() as session:
        for _turn in range(10):
            assert session.execute("SELECT %s::int", (1,)).fetchone() == (1,)
            session.execute("DEALLOCATE ALL")


def test_a_login_without_a_connection_left_says_so(tenant, log_in):
    most = ProjectLimits.of(tenant.infra.settings).connections
    held = [tenant.connect(tenant.roles.owner) for _ in range(most)]
    try:
        with pytest.raises(Crowded), log_in():
            pass
    finally:
        for session in held:
            session.close()


def test_a_password_that_is_not_taken_is_told_apart(tenant):
    uri = tenant.infra.databases.uri(tenant.id, tenant.roles.owner, "wrong")
    with pytest.raises(LoginRefused), tenant_session(tenant.infra.databases.cluster, uri, "test", LONG):
        pass


def test_what_the_server_refuses_stays_the_servers_word(log_in):
    with pytest.raises(psycopg.errors.UndefinedTable), log_in() as session:
        session.execute("SELECT * FROM nowhere")
    assert not issubclass(psycopg.errors.UndefinedTable, Refused)


def test_a_round_trip_ends_although_the_tenant_has_hung_a_sleep_on_it(tenant, monkeypatch):
    from infra.postgres import databases

    monkeypatch.setattr(databases, "ROUND_TRIP", Bounds(0.5))
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute(
            "CREATE FUNCTION slow_bucket() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(200); RETURN NEW; END'"
        )
    with tenant.as_admin() as admin:
        admin.execute(
            "CREATE TRIGGER slow BEFORE INSERT ON storage.buckets FOR EACH ROW EXECUTE FUNCTION public.slow_bucket()"
        )
    uri = tenant.uri(tenant.roles.authenticator)
    with pytest.raises(TookTooLong):
        tenant.infra.databases.check_round_trip(uri, tenant.roles, "test")
    with pytest.raises(Stopped):
        monkeypatch.setattr(databases, "ROUND_TRIP", LONG)
        tenant.infra.databases.check_round_trip(uri, tenant.roles, "test", after(0.5))
