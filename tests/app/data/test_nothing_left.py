"""Nothing of a request outlives it: whatever its functions leave in the session, the next request finds none of it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from app.data.config import from_values
from app.data.run.connections import Budget
from app.data.run.instance import Instance
from tests.app.data.harm import ask
from tests.fixtures.pooler import free_port
from tests.fixtures.servers import wait_until

# What a function may leave behind, by what it does.
DEEDS = {
    "a setting": "PERFORM set_config('app.tenant', 'A', false)",
    "a setting of the server's": "PERFORM set_config('default_transaction_read_only', 'on', false)",
    "a search path": "PERFORM set_config('search_path', 'evil', false)",
    "another role": "PERFORM set_config('role', '{service}', false)",
    "an advisory lock": "PERFORM hold()",
    "a temporary table": "CREATE TEMP TABLE kept_for_later AS SELECT 1 AS id",
    "a channel": "LISTEN everything; PERFORM pg_notify('everything', 'x')",
    "a cursor": "EXECUTE 'DECLARE held CURSOR WITH HOLD FOR SELECT 1'",
    "a prepared statement": "EXECUTE 'PREPARE p AS SELECT 1'",
    "the last number of a sequence": "PERFORM nextval('public.numbers')",
}
# How the session is afterwards, as nobody's request would see it.
STATE = """SELECT json_build_object(
    'settings', (SELECT json_agg(name ORDER BY name) FROM pg_settings WHERE source = 'session' AND name !~ '^(request|response)\\.'),
    'role', current_setting('role'), 'app', nullif(current_setting('app.tenant', true), ''),
    'locks', (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
    'temporary', (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()),
    'channels', (SELECT count(*) FROM pg_listening_channels()),
    'cursors', (SELECT count(*) FROM pg_cursors WHERE is_holdable),
    'prepared', (SELECT count(*) FROM pg_prepared_statements WHERE from_sql))"""
WORLD = """
CREATE SCHEMA evil; CREATE SEQUENCE numbers; CREATE TABLE parts (id int PRIMARY KEY);
CREATE TABLE written (id int GENERATED ALWAYS AS IDENTITY, part int REFERENCES parts DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION last() RETURNS text LANGUAGE plpgsql AS
    $$BEGIN RETURN lastval()::text; EXCEPTION WHEN OTHERS THEN RETURN 'none'; END$$;
CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION deed() RETURNS text LANGUAGE plpgsql AS $$BEGIN RETURN ''; END$$;
CREATE FUNCTION on_write() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM public.deed(); RETURN NEW; END$$;
CREATE TRIGGER leaves BEFORE INSERT ON written FOR EACH ROW EXECUTE FUNCTION on_write();
CREATE FUNCTION raising() RETURNS int LANGUAGE plpgsql AS $$BEGIN PERFORM public.deed(); RAISE 'boom'; END$$;
CREATE VIEW seen AS SELECT 1 AS id, public.deed() AS done;
GRANT USAGE ON SCHEMA evil TO PUBLIC; GRANT ALL ON ALL TABLES IN SCHEMA public TO anon; GRANT ALL ON SEQUENCE numbers TO anon;
"""
CALLED = ("POST", "/rpc/deed", {})
WAYS = {
    "called": (CALLED, 200),
    "called to be rolled back": ((*CALLED, {"prefer": "tx=rollback"}), 200),
    "judged before its end": ((*CALLED, {"accept": "application/vnd.pgrst.object+json"}), 200),
    "by a trigger": (("POST", "/written", {}), 201),
    "and raises": (("POST", "/rpc/raising", {}), 400),
    "and fails at the commit": (("POST", "/written", {"part": 1}), 409),
}


@pytest.fixture(scope="module")
def place(tenant):
    """A project's database with a function that leaves something, and a data API of it with a single session."""
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute(WORLD)
        read = {
            "db-uri": tenant.uri(tenant.roles.authenticator),
            "db-anon-role": tenant.roles.anon,
            "db-pool": "1",
            "db-tx-end": "commit-allow-override",
        }
        with closing(Instance(from_values(read), Budget(5))) as instance:
            yield owner, instance, tenant


def leave(place, what):
    owner, _, tenant = place
    text = DEEDS[what].replace("{service}", tenant.roles.service)
    # Only the owner may take a lock of the session, and a function with their rights.
    owner.execute(
        "CREATE OR REPLACE FUNCTION hold() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'SELECT pg_advisory_lock(7)'"
    )
    owner.execute(
        f"CREATE OR REPLACE FUNCTION deed() RETURNS text LANGUAGE plpgsql AS $$BEGIN {text}; RETURN 'done'; END$$"
    )


def state(instance):
    """Return what the one session is like, and which it is."""
    [(_, connection)] = instance.pool._idle
    return connection.info.backend_pid, connection.execute(STATE).fetchone()[0]


@pytest.mark.parametrize("what", DEEDS)
def test_what_a_function_leaves_is_gone_with_its_request(place, what):
    _, instance, _ = place
    assert ask(instance, "POST", "/rpc/one", {}) == (200, "1")
    fresh = state(instance)
    leave(place, what)
    for way, (request, status) in WAYS.items():
        for _ in range(2):
            assert ask(instance, *request)[0] == status, f"{what}, {way}"
            assert state(instance) == fresh, f"{what} outlives a request, {way}"
            assert ask(instance, "POST", "/rpc/last", {}) == (200, '"none"'), f"{what}, {way}"
            assert ask(instance, "POST", "/rpc/one", {}) == (200, "1"), f"{what}, {way}"


@pytest.mark.parametrize("what", ["a setting", "another role", "an advisory lock", "a channel", "a cursor"])
def test_what_a_view_leaves_is_gone_as_well(place, what):
    _, instance, _ = place
    assert ask(instance, "POST", "/rpc/one", {}) == (200, "1")
    fresh = state(instance)
    leave(place, what)
    assert ask(instance, "GET", "/seen?select=id,done") == (200, '[{"id":1,"done":"done"}]')
    assert state(instance) == fresh


def test_what_is_prepared_by_the_driver_stays(place):
    _, instance, _ = place
    leave(place, "a setting")
    for _ in range(8):
        assert ask(instance, *CALLED)[0] == 200
    [(_, connection)] = instance.pool._idle
    assert connection.execute("SELECT count(*) FROM pg_prepared_statements WHERE NOT from_sql").fetchone()[0] > 0


def test_a_request_that_deallocates_everything_is_carried_out_once(place):
    owner, instance, _ = place
    owner.execute(
        "CREATE OR REPLACE FUNCTION deed() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS"
        " $$BEGIN INSERT INTO public.parts SELECT count(*) FROM public.parts; EXECUTE 'DEALLOCATE ALL'; RETURN ''; END$$"
    )
    before = owner.execute("SELECT count(*) FROM parts").fetchone()[0]
    for number in range(1, 9):
        assert ask(instance, *CALLED) == (200, '""')
        assert owner.execute("SELECT count(*) FROM parts").fetchone()[0] == before + number


def test_a_function_that_makes_a_temporary_table_works_as_its_caller(place, tenant):
    owner, instance, _ = place
    owner.execute(
        "CREATE OR REPLACE FUNCTION deed() RETURNS text LANGUAGE plpgsql AS $$DECLARE found text; BEGIN"
        " CREATE TEMP TABLE mine ON COMMIT DROP AS SELECT 'a row'::text AS t; SELECT t INTO found FROM mine; RETURN found; END$$"
    )
    for _ in range(2):
        assert ask(instance, *CALLED) == (200, '"a row"')
    owner.execute("CREATE TEMP TABLE mine (id int)")
    for login in (tenant.roles.auth, tenant.roles.storage):
        with tenant.connect(login) as session, pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("CREATE TEMP TABLE mine (id int)")


POOLER = """[databases]
{id} = host={host} port={port} dbname={id} pool_size=2 user={login} password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
"""


@pytest.fixture
def pooled(place, server_url):
    """The URI of its login through a PgBouncer in transaction mode, with two sessions that all its clients share."""
    tenant, port, folder = place[2], free_port(), Path(tempfile.mkdtemp(prefix="ldb-left-"))
    login, server = tenant.roles.authenticator, conninfo_to_dict(server_url)
    known = {"host": server["host"], "port": server["port"], "login": login, "password": tenant.passwords[login]}
    (folder / "pgbouncer.ini").write_text(POOLER.format(id=tenant.id, listen_port=port, **known))
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755)
    process = subprocess.Popen(["pgbouncer", "-q", "-u", "nobody", folder / "pgbouncer.ini"])
    try:
        uri = make_conninfo(tenant.uri(login), host="127.0.0.1", port=port)
        wait_until(lambda: answers(uri))
        yield uri
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder)


def answers(uri):
    try:
        psycopg.connect(uri, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.pgbouncer
def test_a_write_that_fails_at_its_end_leaves_nothing_in_a_pooled_session_that_others_get_at_once(place, pooled):
    """Who fails at the commit has given its session back by then."""
    owner, _, tenant = place
    leave(place, "an advisory lock")
    owner.execute(
        "CREATE TABLE IF NOT EXISTS judged (id int);"
        "CREATE OR REPLACE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN PERFORM public.hold(); RAISE 'too late'; END$$;"
        "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON judged DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION judge(); GRANT ALL ON judged TO anon"
    )
    over = threading.Event()

    def ask_again_and_again():
        with psycopg.connect(pooled, autocommit=True, prepare_threshold=None) as session:
            while not over.is_set():
                session.execute("SELECT 1")

    read = {
        "db-uri": pooled,
        "db-anon-role": tenant.roles.anon,
        "db-pool": "1",
        "db-prepared-statements": "false",
    }
    others = [threading.Thread(target=ask_again_and_again, daemon=True) for _ in range(3)]
    for each in others:
        each.start()
    held = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE locktype = 'advisory' AND datname = %s"
    try:
        with closing(Instance(from_values(read), Budget(2))) as instance, tenant.as_admin() as admin:
            for number in range(40):
                assert ask(instance, "POST", "/judged", {"id": number})[0] == 400
                assert admin.execute(held, (tenant.id,)).fetchone() == (0,), number
    finally:
        over.set()
        for each in others:
            each.join(20)
