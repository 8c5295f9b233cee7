"""Instances: loaded from their folder, let go when it changes or is gone, steady when Postgres is not."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from app.data import config
from app.data.parse.request import RawRequest
from app.data.run.connections import Budget, Pool
from app.data.run.instance import Instance
from infra import files


def _connections(project):
    query = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s"
    return project.admin.execute(query, (f"{project.id}_authenticator",)).fetchone()[0]


def test_a_released_project_keeps_no_connection(project):
    project.get("/books")
    assert project.registry.opened > 0
    project.registry.release(project.id)
    assert project.registry.opened == 0
    assert project.get("/books").status_code == 200


def test_a_changed_file_is_heeded_by_the_next_request(project):
    path = project.folder / "data-api.conf"
    before = path.read_text()
    path.write_text(before.replace("db-max-rows = 1000", "db-max-rows = 1"))
    assert len(project.get("/books").json) == 1
    path.write_text(before)
    assert len(project.get("/books").json) == 3


@pytest.mark.parametrize("cut", [0, 1, 60])
def test_a_file_that_was_cut_short_serves_nothing(project, cut, monkeypatch):
    """Neither whatever database the environment names, nor the one before."""
    path = project.folder / "data-api.conf"
    before = path.read_text()
    monkeypatch.setenv("PGHOST", "127.0.0.1")
    path.write_text("# launchdb\n" * (cut > 0) + 'db-anon-role = "anon"\n' * (cut > 1))
    assert project.get("/books").status_code == 404
    path.write_text(before)
    assert project.get("/books").status_code == 200


def test_a_smaller_pool_is_heeded_while_requests_are_under_way(project):
    path = project.folder / "data-api.conf"
    before = path.read_text()
    project.admin.execute(
        "CREATE OR REPLACE FUNCTION nap() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1 FROM pg_sleep(1)'"
    )
    answered = []
    clients = [
        threading.Thread(
            target=lambda: answered.append(project.call("POST", "/rpc/nap", body={}).status_code), daemon=True
        )
        for _ in range(4)
    ]
    for client in clients:
        client.start()
    deadline = time.monotonic() + 60
    while project.registry.opened < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    files.replace(path, before.replace("db-pool = 4", "db-pool = 1"))  # whole, as the platform does it
    assert project.get("/books").status_code == 200
    for client in clients:
        client.join(30)
    assert answered == [200] * 4
    assert project.registry.opened == 1
    path.write_text(before)


def test_a_connection_is_kept_over_a_change_unless_its_session_would_begin_otherwise(project):
    path = project.folder / "data-api.conf"
    before = path.read_text()
    project.admin.execute("CREATE FUNCTION pid() RETURNS int LANGUAGE sql STABLE AS 'SELECT pg_backend_pid()'")
    first = project.get("/rpc/pid").json
    path.write_text(before + 'server-cors-allowed-origins = "https://a.example.org"\n')
    assert project.get("/rpc/pid").json == first
    path.write_text(before + 'launchdb-session = "statement_timeout=7s"\n')
    assert project.get("/rpc/pid").json != first
    path.write_text(before)


def test_a_removed_folder_is_let_go_of(project):
    path = project.folder / "data-api.conf"
    before = path.read_text()
    path.unlink()
    assert project.get("/books").status_code == 404
    assert project.registry.opened == 0
    path.write_text(before)


def test_a_removed_folder_frees_the_database_though_nobody_asks(project):
    path = project.folder / "data-api.conf"
    before = path.read_text()
    project.get("/books")
    assert _connections(project) > 0
    path.unlink()
    deadline = time.monotonic() + 60
    while _connections(project) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _connections(project) == 0
    path.write_text(before)


def test_a_connection_that_the_server_closed_is_replaced(project):
    project.get("/books")
    query = "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE usename = %s"
    project.admin.execute(query, (f"{project.id}_authenticator",))
    assert project.get("/books").status_code == 200


def test_a_database_that_is_away_is_unavailable_and_not_named():
    read = config.from_values({"db-uri": "postgresql://u:hush@127.0.0.1:1/secretdb", "db-anon-role": "a"})
    answer = Instance(read, Budget(1)).answer(RawRequest("GET", "/x", "", {}))
    assert answer.status == 503
    assert b"hush" not in answer.body
    assert b"secretdb" not in answer.body


def test_the_configuration_syntax_of_files_and_variables_says_the_same():
    text = '# note\ndb-uri = "postgresql://x"\ndb-schemas = "a, b"\ndb-max-rows = 5 # five\ndb-plan-enabled = true\n'
    environment = {
        "PGRST_DB_URI": "postgresql://x", "PGRST_DB_SCHEMAS": "a,b", "PGRST_DB_MAX_ROWS": "5",
        "PGRST_DB_PLAN_ENABLED": "true",
    }  # fmt: skip
    assert config.from_text(text) == config.from_environment(environment)


@pytest.mark.parametrize("text", ["db-max-rows = x", "nonsense", 'db-uri = "\\q"'])
def test_a_configuration_that_cannot_be_read_is_refused(text):
    with pytest.raises(config.ConfigError):
        config.from_text(text)


def test_a_hostile_policy_gains_no_more_than_its_caller(project):
    project.admin.execute(
        "CREATE FUNCTION escape() RETURNS text LANGUAGE plpgsql AS $$BEGIN RESET ROLE; RETURN current_user; END$$"
    )
    found = project.call("POST", "/rpc/escape", body={}, role="authenticated").json
    assert found == f"{project.id}_authenticator"
    with psycopg.connect(project.admin.info.dsn, password=project.admin.info.password) as admin:
        query = "SELECT rolsuper OR rolcreaterole OR rolbypassrls OR rolinherit FROM pg_roles WHERE rolname = %s"
        assert admin.execute(query, (found,)).fetchone() == (False,)
    assert project.get("/rpc/whoami", role=None).json == f"{project.id}_anon"


def test_a_server_that_is_gone_is_noticed_and_a_uri_says_how_soon(stamped):
    uri = make_conninfo(stamped.config.db_uri, keepalives_idle=9)
    for given, idle in ((stamped.config.db_uri, "5"), (uri, "9")):
        pool = Pool(config.from_values({"db-uri": given, "db-anon-role": stamped.role}), Budget(1), "launchdb-kept")
        with pool.lend() as connection:
            found = connection.info.get_parameters()
        pool.close()
        names = ("keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout")
        assert [found[name] for name in names] == [idle, "2", "3", "15000"]
