"""SQL through the platform API: as the owner and nobody mightier, within limits, its faults the caller's to read."""

from __future__ import annotations

import logging
import resource
import threading
import time

import pytest

import jobs.kinds  # noqa: F401 - the kinds under test
from config.settings import Settings
from tests.app.test_bad_input import problem
from tests.fixtures.projects import drop
from tests.jobs.conftest import Engine, wait_until


@pytest.fixture
def settings(settings):
    """Small limits."""
    values = {"SQL_MAX_ROWS": 5, "SQL_MAX_BYTES": 8192, "SQL_SECONDS": 5, "SQL_CONNECTIONS": 2}
    known = {field.validation_alias: getattr(settings, name) for name, field in Settings.model_fields.items()}
    return Settings.model_validate({**known, **values})


@pytest.fixture
def project(owner, infra, town, master_key):
    """The path of an active project."""
    engine = Engine(infra)
    made = owner.project()["id"]
    engine.runner.drain()
    yield f"/api/projects/{made}"
    engine.close()
    drop(infra, made)


@pytest.fixture
def ask(owner, project):
    def asked(query, **more):
        return owner.post(f"{project}/sql", json={"query": query, **more})

    return asked


def rows(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["rows"]


def test_rows_come_as_json_with_their_types(ask):
    answer = ask(
        "SELECT 1 AS a, 2::bigint AS a, 1.5::float8 AS f, 'NaN'::float8 AS n, 1.10::numeric AS d, true AS t, null AS z,"
        " '{\"k\": [1]}'::jsonb AS j, 'x'::text AS s, ARRAY[1,2] AS l"
    )
    assert rows(answer) == [
        {
            "a": 1,
            "a_2": 2,
            "f": 1.5,
            "n": "NaN",
            "d": "1.10",
            "t": True,
            "z": None,
            "j": {"k": [1]},
            "s": "x",
            "l": "{1,2}",
        }
    ]
    body = answer.json()
    assert [column["type"] for column in body["columns"]] == [
        "integer", "bigint", "double precision", "double precision", "numeric", "boolean", "text", "jsonb", "text",
        "integer[]",
    ]  # fmt: skip
    assert (body["rowCount"], body["truncated"], body["command"]) == (1, False, "SELECT 1")


def test_it_runs_as_the_owner_login(ask, project):
    login = f"{project.rpartition('/')[2]}_owner"
    assert rows(ask("SELECT session_user::text AS s, current_user::text AS c")) == [{"s": login, "c": login}]
    assert ask("CREATE TABLE notes (id int PRIMARY KEY, at text)").json()["command"] == "CREATE TABLE"
    answer = ask("INSERT INTO notes SELECT g, 'x' FROM generate_series(1, 9) g")
    assert (answer.json()["rowCount"], answer.json()["columns"], answer.json()["rows"]) == (9, [], [])


def test_parameters_are_values_and_never_sql(ask):
    assert rows(ask("SELECT $1::text AS v, $2::int + 1 AS n, $3::bool AS b, $4::jsonb AS j, $5::text AS z",
                    params=["'; DROP TABLE x; --", 41, True, {"a": [1, None]}, None])) == [
        {"v": "'; DROP TABLE x; --", "n": 42, "b": True, "j": {"a": [1, None]}, "z": None}
    ]  # fmt: skip
    assert problem(ask("SELECT $1::int; SELECT 2", params=[1]), 422)["sqlstate"] == "42601"
    assert problem(ask("SELECT $1::int", params=[]), 422)["sqlstate"].startswith(("42", "08"))


def test_several_statements_succeed_or_fail_together(ask):
    assert rows(ask("CREATE TABLE t (x int); INSERT INTO t VALUES (1); SELECT x FROM t")) == [{"x": 1}]
    assert problem(ask("INSERT INTO t VALUES (2); SELECT 1/0"), 422)["sqlstate"] == "22012"
    assert rows(ask("SELECT count(*) AS n FROM t")) == [{"n": 1}]
    left = ask("BEGIN; INSERT INTO t VALUES (3)")
    assert "rolled back" in left.json()["notices"][0]["message"]
    assert rows(ask("SELECT count(*) AS n FROM t")) == [{"n": 1}]


def test_what_is_too_much_is_left_out_and_the_statement_is_carried_out_whole(ask):
    ask("CREATE TABLE t (x int)")
    answer = ask("INSERT INTO t SELECT g FROM generate_series(1, 50) g RETURNING x").json()
    assert (len(answer["rows"]), answer["truncated"], answer["rowCount"]) == (5, True, 50)
    assert rows(ask("SELECT count(*) AS n FROM t")) == [{"n": 50}]
    wide = ask("SELECT repeat('x', 5000) AS w FROM generate_series(1, 3)").json()
    assert (len(wide["rows"]), wide["truncated"], wide["rowCount"]) == (1, True, 3)


@pytest.mark.timing
@pytest.mark.parametrize("query", ["SELECT generate_series(1, 100000000)", "SELECT repeat('x', 500000000)"])
def test_a_flood_is_stopped(query, ask):
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = problem(ask(query), 422)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024, "it was read whole"
    assert refused["type"] in ("/problems/sql-too-large", "/problems/sql-timeout")
    assert time.monotonic() - began < 10


def test_a_fault_of_the_query_is_told_with_its_place(ask):
    refused = problem(ask("SELECT nothing FROM nowhere"), 422)
    assert refused["type"] == "/problems/sql-error"
    assert (refused["sqlstate"], refused["position"]) == ("42P01", 21)
    assert "nowhere" in refused["detail"]


REFUSED = {
    "CREATE ROLE x SUPERUSER": "42501",
    "ALTER ROLE postgres PASSWORD 'x'": "42501",
    "\\c postgres": "42601",
    "SELECT dblink('host=127.0.0.1', 'SELECT 1')": "42883",
    "CREATE EXTENSION dblink": "42501",
    "CREATE EXTENSION plpython3u": ("0A000", "42501", "58P01"),
    "CREATE EXTENSION postgres_fdw": "42501",
    "COPY (SELECT 1) TO PROGRAM 'id'": "42501",
    "COPY (SELECT 1) TO '/tmp/launchdb-x'": "42501",
    "COPY (SELECT 1) TO STDOUT": "0A000",
    "CREATE TABLE ct (x int); COPY ct FROM STDIN": "0A000",
    "SELECT pg_read_file('/etc/passwd')": "42501",
    "SELECT lo_import('/etc/passwd')": "42501",
    "SET SESSION AUTHORIZATION postgres": "42501",
    "SET ROLE anon": "42501",
    "SET temp_file_limit = -1": "42501",
    "CREATE DATABASE mine": "42501",
    "ALTER SYSTEM SET work_mem = 1": "42501",
    "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION launchdb.schema_changed()": "42501",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'": "42501",
    "SELEC": "42601",
}


@pytest.mark.parametrize("query", REFUSED)
def test_what_a_tenant_may_not_is_refused_by_the_server(query, ask):
    refused = problem(ask(query), 422)
    wanted = REFUSED[query]
    assert refused["sqlstate"] in ((wanted,) if isinstance(wanted, str) else wanted), refused


def test_other_sessions_keep_their_queries_to_themselves(ask, project):
    seen = rows(ask("SELECT usename::text AS u, query AS q FROM pg_stat_activity WHERE usename <> current_user"))
    assert {row["q"] for row in seen} <= {"<insufficient privilege>", "", None}


@pytest.mark.timing
@pytest.mark.parametrize(
    "query",
    [
        "SELECT pg_sleep(60)",
        "SET statement_timeout = 0; SELECT pg_sleep(60)",
        "SET statement_timeout = 0; DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$",
    ],
)
def test_what_takes_too_long_is_stopped_and_its_session_is_gone(query, ask, town, project):
    began = time.monotonic()
    assert problem(ask(query, timeoutMs=500), 422)["type"] == "/problems/sql-timeout"
    assert time.monotonic() - began < 4
    left = "SELECT FROM pg_stat_activity WHERE usename = %s"
    wait_until(lambda: not town.rows(left, (f"{project.rpartition('/')[2]}_owner",)))


def test_read_only_is_kept_unless_the_query_says_otherwise(ask):
    ask("CREATE TABLE t (x int)")
    assert problem(ask("INSERT INTO t VALUES (1)", readOnly=True), 422)["sqlstate"] == "25006"
    assert rows(ask("SELECT count(*) AS n FROM t", readOnly=True)) == [{"n": 0}]


def test_nothing_is_left_from_one_query_to_the_next(ask):
    ask("SET search_path = pg_catalog; CREATE TEMP TABLE mine ()")
    assert problem(ask("SELECT * FROM mine"), 422)["sqlstate"] == "42P01"
    assert "mine" not in rows(ask("SHOW search_path"))[0]["search_path"]


def test_notices_are_told_and_bounded(ask):
    answer = ask("DO $$ BEGIN FOR i IN 1..150 LOOP RAISE NOTICE 'n %', i; END LOOP; END $$").json()
    assert answer["notices"][0] == {"severity": "NOTICE", "message": "n 1"}
    assert len(answer["notices"]) == 100


def test_only_so_many_run_at_a_time(owner, ask, project):
    slow = [threading.Thread(target=ask, args=("SELECT pg_sleep(2)",)) for _ in range(2)]
    for thread in slow:
        thread.start()
    time.sleep(0.7)
    refused = problem(ask("SELECT 1"), 429)
    assert refused["type"] == "/problems/too-many-queries"
    for thread in slow:
        thread.join()
    assert rows(ask("SELECT 1 AS x")) == [{"x": 1}]


def test_bad_input_is_told(ask, owner, project):
    for body in ({}, {"query": ""}, {"query": 1}, {"query": "SELECT 1", "params": {}}, {"query": "x", "timeoutMs": 0},
                 {"query": "x", "timeoutMs": 5001}, {"query": "x", "more": 1}, {"query": "a\0b"}):  # fmt: skip
        answer = owner.post(f"{project}/sql", json=body)
        assert answer.status_code in (400, 422)
        assert answer.headers["Content-Type"] == "application/problem+json"
    assert ask("  -- nothing at all").json()["rows"] == []


def test_only_the_owner_of_an_active_project_may(ask, owner, town, project, infra):
    assert problem(town.owner().post(f"{project}/sql", json={"query": "SELECT 1"}), 404)
    with infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET status = 'paused' WHERE id = %s", (project.rpartition("/")[2],))
    assert problem(ask("SELECT 1"), 409)["detail"] == "the project is paused"


def test_the_audit_says_who_and_what_but_not_the_text(ask, owner, town, project, caplog):
    caplog.set_level(logging.DEBUG)
    ask("SELECT 'a-secret-literal' AS x", readOnly=True)
    (row,) = town.rows("SELECT actor, outcome, project_id, detail FROM audit WHERE action = 'project.sql'")
    assert (row["actor"], row["project_id"]) == (owner.id, project.rpartition("/")[2])
    assert row["detail"] == {"verb": "SELECT", "readOnly": True, "characters": 30}
    assert "a-secret-literal" not in caplog.text


def test_clients_that_use_up_the_project_get_a_clear_word(ask, project, infra, town):
    with infra.databases.cluster.session("test") as admin:
        admin.execute(f'ALTER DATABASE "{project.rpartition("/")[2]}" CONNECTION LIMIT 0')
    assert problem(ask("SELECT 1"), 429)["type"] == "/problems/too-many-queries"
