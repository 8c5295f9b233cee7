"""Settings of roles and functions: they hold for the transaction of a request, its isolation level included."""

from __future__ import annotations

import json
import threading
from contextlib import closing

import psycopg
import pytest
from psycopg import sql

from app.data.config import from_values
from app.data.run.connections import Budget
from app.data.run.instance import Instance
from tests.app.data.conftest import SECRET, token
from tests.app.data.harm import ask
from tests.fixtures.servers import wait_until

SHOWS = """
CREATE FUNCTION shows(name text) RETURNS text LANGUAGE sql STABLE AS $$SELECT current_setting(name, true)$$;
CREATE FUNCTION serial() RETURNS text LANGUAGE sql SET default_transaction_isolation = 'serializable' AS
    $$SELECT current_setting('transaction_isolation')$$;
CREATE FUNCTION repeats() RETURNS text LANGUAGE sql STABLE SET default_transaction_isolation TO 'REPEATABLE READ' AS
    $$SELECT current_setting('transaction_isolation')$$;
CREATE FUNCTION changes_the_schema() RETURNS text LANGUAGE plpgsql SET default_transaction_isolation = 'serializable'
    SECURITY DEFINER AS $$BEGIN EXECUTE 'CREATE TABLE made_by_' || txid_current() || ' ()';
    RETURN current_setting('transaction_isolation'); END$$;
CREATE TABLE days (day date);
CREATE VIEW levels AS SELECT current_setting('transaction_isolation') AS level;
"""


@pytest.fixture(scope="module")
def place(tenant):
    """A project's owner, and a data API of the project that asks as anon where no token is given."""
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute(SHOWS)
        read = {
            "db-uri": tenant.uri(tenant.roles.authenticator),
            "db-anon-role": tenant.roles.anon,
            "db-pool": "2",
            "jwt-secret": SECRET,
            "jwt-role-claim-key": ".db_role",
        }
        with closing(Instance(from_values(read), Budget(5))) as instance:
            yield owner, instance


@pytest.fixture
def owner(place):
    """The project's owner; what they set for roles is gone after the test."""
    yield place[0]
    for name in ("anon", "service_role", "authenticator", "every_role"):
        put(place[0], name, None, None)


def put(owner, role, name, value):
    owner.execute("SELECT launchdb.set_role_setting(%s, %s, %s)", (role, name, value))


def shown(instance, name, role=None):
    headers = {"authorization": f"Bearer {token({'role': role})}"} if role else {}
    status, body = ask(instance, "GET", f"/rpc/shows?name={name}", None, headers)
    assert status == 200, body
    return json.loads(body)


def test_a_functions_isolation_level_is_that_of_its_transaction(place):
    _, instance = place
    for _ in range(7):
        assert ask(instance, "POST", "/rpc/serial", {}) == (200, '"serializable"')
        assert ask(instance, "POST", "/rpc/repeats", {}) == (200, '"repeatable read"')
        assert ask(instance, "GET", "/rpc/repeats") == (200, '"repeatable read"')
        assert shown(instance, "transaction_isolation") == "read committed"


def test_a_function_of_its_own_level_may_change_the_schema(place):
    _, instance = place
    assert ask(instance, "POST", "/rpc/changes_the_schema", {}) == (200, '"serializable"')


def test_what_is_set_for_a_role_holds_for_its_requests_and_no_others(place, owner):
    _, instance = place
    usual = shown(instance, "statement_timeout")
    put(owner, "anon", "statement_timeout", "200ms")
    assert shown(instance, "statement_timeout") == "200ms"
    assert shown(instance, "statement_timeout", "service_role") == usual
    put(owner, "anon", "statement_timeout", None)
    assert shown(instance, "statement_timeout") == usual


def test_of_all_roles_the_logins_and_the_roles_own_the_nearest_counts(place, owner):
    _, instance = place
    for name in ("every_role", "authenticator", "anon"):
        put(owner, name, "app.said", f"by {name}")
        assert shown(instance, "app.said") == f"by {name}"
    assert shown(instance, "app.said", "service_role") == "by authenticator"


@pytest.mark.timing
def test_a_roles_time_limit_ends_its_requests(place, owner):
    _, instance = place
    owner.execute("CREATE OR REPLACE FUNCTION sleeps() RETURNS int LANGUAGE sql AS 'SELECT 1 FROM pg_sleep(20)'")
    put(owner, "anon", "statement_timeout", "200ms")
    status, body = ask(instance, "POST", "/rpc/sleeps", {})
    assert (status, json.loads(body)["code"]) == (500, "57014")


@pytest.mark.parametrize("name", ["search_path", "role", "client_encoding", "request.jwt.claims"])
def test_what_is_the_requests_own_is_not_set_by_a_role(place, owner, name):
    _, instance = place
    before = shown(instance, name)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="is set by each request itself"):
        put(owner, "anon", name, "none")
    put(owner, "anon", "app.x", "y")
    by_hand = json.dumps({"anon": {name: "none"}})
    owner.execute(sql.SQL("COMMENT ON SCHEMA launchdb_role_settings IS {}").format(sql.Literal(by_hand)))
    assert shown(instance, name) == before


@pytest.mark.parametrize("said", ["no json", "[1]", '{"anon": 7}', "[" * 5000, ""])
def test_what_is_no_settings_in_their_place_changes_nothing(place, owner, said):
    _, instance = place
    put(owner, "anon", "app.x", "y")
    owner.execute(sql.SQL("COMMENT ON SCHEMA launchdb_role_settings IS {}").format(sql.Literal(said)))
    assert shown(instance, "app.x") is None
    owner.execute("COMMENT ON SCHEMA launchdb_role_settings IS NULL")


@pytest.mark.parametrize(
    ("role", "name", "value"),
    [("anon", "nothing_known", "1"), ("anon", "statement_timeout", "soon"), ("anon", "log_min_messages", "error"),
     ("postgres", "work_mem", "1MB"), ("proj_0123456789abcdef_anon", "work_mem", "1MB")],
)  # fmt: skip
def test_what_the_server_would_not_set_is_refused_at_once(owner, role, name, value):
    with pytest.raises(psycopg.Error):
        put(owner, role, name, value)
    before = owner.execute("SELECT obj_description(to_regnamespace('launchdb_role_settings'))").fetchone()
    assert name not in str(before)


def test_what_is_tried_for_a_role_is_not_set_for_the_owner(owner):
    with owner.transaction():
        before = owner.execute("SHOW statement_timeout").fetchone()
        put(owner, "anon", "statement_timeout", "77s")
        assert owner.execute("SHOW statement_timeout").fetchone() == before


def test_a_roles_isolation_level_is_that_of_its_requests(place, owner):
    _, instance = place
    put(owner, "anon", "default_transaction_isolation", "serializable")
    assert ask(instance, "GET", "/levels") == (200, '[{"level":"serializable"}]')
    assert ask(instance, "POST", "/days", {"day": "2026-01-02"}, {"prefer": "return=representation"})[0] == 201
    assert ask(instance, "POST", "/rpc/serial", {}) == (200, '"serializable"')


def test_a_write_of_any_level_is_committed_under_the_schema_it_was_planned_for(place, owner):
    """It waits for the table while the column becomes one that reads the same text otherwise."""
    other, instance = place
    put(owner, "anon", "default_transaction_isolation", "serializable")
    owner.execute("CREATE TABLE moments (at date); GRANT ALL ON moments TO PUBLIC")
    wrote = {"prefer": "return=representation, timezone=UTC"}
    assert ask(instance, "POST", "/moments", {"at": "2026-01-02T03:04:05"}, wrote)[0] == 201
    answers = []
    with other.transaction():
        other.execute("ALTER TABLE moments ALTER at TYPE timestamptz")
        writer = threading.Thread(
            target=lambda: answers.append(ask(instance, "POST", "/moments", {"at": "2026-01-02T03:04:05"}, wrote))
        )
        writer.start()
        wait_until(lambda: other.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()[0] > 0)
    writer.join(20)
    assert answers == [(201, '[{"at":"2026-01-02T03:04:05+00:00"}]')]


def test_in_a_database_of_anybodys_what_is_set_for_roles_counts_as_in_postgrest(plain, server_url):
    plain.owner.execute(SHOWS.replace("CREATE FUNCTION changes_the_schema", "CREATE FUNCTION changes_it"))
    with closing(Instance(plain.config, plain.budget)) as instance:
        usual = shown(instance, "statement_timeout")
        try:
            plain.owner.execute(f"ALTER ROLE \"{plain.role}\" SET statement_timeout = '31s'")
            plain.owner.execute(f"ALTER ROLE \"{plain.role}\" SET log_min_messages = 'error'")  # its login may not
            wait_until(lambda: shown(instance, "statement_timeout") == "31s")
            plain.owner.execute(f"ALTER ROLE \"{plain.role}\" IN DATABASE {plain.owner.info.dbname} SET app.x = 'y'")
            wait_until(lambda: shown(instance, "app.x") == "y")
        finally:
            plain.owner.execute(f'ALTER ROLE "{plain.role}" RESET ALL')
            plain.owner.execute(f'ALTER ROLE "{plain.role}" IN DATABASE {plain.owner.info.dbname} RESET ALL')
        wait_until(lambda: shown(instance, "statement_timeout") == usual)


def test_what_the_login_was_granted_to_set_is_set_for_the_role(plain):
    """The role itself may not: its settings count before the request is its own."""
    name, login = "log_min_duration_sample", psycopg.conninfo.conninfo_to_dict(plain.config.db_uri)["user"]
    of_role = f'ALTER ROLE "{plain.role}" IN DATABASE {plain.owner.info.dbname}'
    plain.owner.execute(
        "CREATE FUNCTION sample() RETURNS text LANGUAGE sql STABLE AS $$SELECT current_setting('log_min_duration_sample')$$"
    )
    try:
        plain.owner.execute(f"{of_role} SET {name} = 12345")
        assert json.loads(ask(plain.instance(), "POST", "/rpc/sample", {}, {})[1]) == "-1", (
            "None may set it, and none fails"
        )
        plain.owner.execute(f'GRANT SET ON PARAMETER {name} TO "{login}"')
        assert json.loads(ask(plain.instance(), "POST", "/rpc/sample", {}, {})[1]) == "12345ms"
    finally:
        plain.owner.execute(f'{of_role} RESET {name}; REVOKE ALL ON PARAMETER {name} FROM "{login}"')
