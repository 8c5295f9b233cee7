"""Options that stand in the database: read at the start and when the server is told, before the file's and variables'."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from app.data import config
from app.data.config_checks import ALIASES
from app.data.run.database_options import READ
from app.data.serve.config_source import ConfigSource
from config.settings import CHECKOUT
from infra.pipeline import spawn
from tests.app.data.conftest import Server, token
from tests.app.server import free_port
from tests.fixtures.servers import wait_until

SECRET = "of-the-database-0123456789-0123456789"


class Place:
    """A database of anybody's, its login, and a server of it that is told nothing else."""

    def __init__(self, admin, uri, login, folder) -> None:
        self.admin, self.uri, self.login, self.folder = admin, uri, login, folder
        self.id = login

    def set(self, **options) -> None:
        for name, value in options.items():
            told = "RESET pgrst.{}" if value is None else "SET pgrst.{} = '{}'"
            self.admin.execute(f'ALTER ROLE "{self.login}" {told.format(name, value)}')

    def read(self, text="", **environ):
        file = self.folder / "conf"
        file.write_text(f'db-uri = "{self.uri}"\n{text}')
        return ConfigSource(environ, str(file)).read()[0]

    @contextmanager
    def serving(self, uri=None, **options):
        port, log = free_port(), self.folder / f"log{secrets.token_hex(3)}"
        told = {"PGRST_DB_URI": uri or self.uri, "PGRST_SERVER_PORT": str(port), "PGRST_LOG_LEVEL": "info", **options}
        env = {"PYTHONPATH": str(CHECKOUT), "PATH": "/usr/bin:/bin", **told}
        code = "import os, sys; from app.data.serve import standalone; sys.exit(standalone.main(os.environ))"
        with log.open("wb") as out:
            process = spawn([sys.executable, "-c", code], env=env, stdout=out, stderr=out)
        server = Server(port, self)
        server.process, server.log = process, log
        try:
            wait_until(lambda: process.poll() is not None or "API server listening" in log.read_text())
            yield server
        finally:
            process.kill()
            process.wait(10)


@pytest.fixture(scope="module")
def place(server_url, tmp_path_factory):
    name, password = f"ldbtest_{secrets.token_hex(6)}", secrets.token_hex(8)
    url = conninfo_to_dict(server_url)
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        server.execute(f"CREATE ROLE {name}_login LOGIN NOINHERIT PASSWORD '{password}'; CREATE ROLE {name}_web")
        server.execute(f"GRANT {name}_web TO {name}_login")
        try:
            with psycopg.connect(server_url, dbname=name, autocommit=True) as admin:
                admin.execute("CREATE TABLE things (id int PRIMARY KEY); INSERT INTO things VALUES (1), (2), (3)")
                admin.execute(f"GRANT USAGE ON SCHEMA public TO {name}_web; GRANT ALL ON things TO {name}_web")
                admin.execute(
                    "CREATE SCHEMA other; CREATE FUNCTION other.configure() RETURNS void LANGUAGE sql AS $$SELECT"
                    " set_config('pgrst.db_max_rows', '7', true), set_config('pgrst.openapi_mode', 'disabled', true)$$;"
                    f"GRANT USAGE ON SCHEMA other TO {name}_login"
                )
                uri = f"postgresql://{name}_login:{password}@{url['host']}:{url['port']}/{name}"
                made = Place(admin, uri, f"{name}_login", tmp_path_factory.mktemp("options"))
                made.set(db_anon_role=f"{name}_web")
                yield made
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")
            server.execute(f"DROP ROLE {name}_login, {name}_web")


def test_options_of_the_login_come_before_the_file_and_variables(place):
    place.set(db_max_rows="2", not_existing="x", server_port="ignored", db_pool="ignored")
    read = place.read("db-max-rows = 9\ndb-pool = 3\n", PGRST_DB_MAX_ROWS="8")
    assert (read.db_max_rows, read.db_pool, read.server_port) == (2, 3, 3000)
    assert read.db_anon_role == f"{place.login.removesuffix('_login')}_web"
    assert place.read("db-max-rows = 9\ndb-config = false\n").db_max_rows == 9
    place.admin.execute(
        f"ALTER ROLE \"{place.login}\" IN DATABASE {place.admin.info.dbname} SET pgrst.db_max_rows = '1'"
    )
    assert place.read().db_max_rows == 1, "what is set for this database comes first"
    place.admin.execute(f'ALTER ROLE "{place.login}" IN DATABASE {place.admin.info.dbname} RESET pgrst.db_max_rows')
    place.set(db_max_rows=None, server_port=None, db_pool=None, not_existing=None)


def test_a_function_configures_what_the_login_has_not(place):
    place.set(db_max_rows="2")
    read = place.read('db-pre-config = "other.configure"\n')
    assert (read.db_max_rows, read.openapi_mode) == (2, "disabled")
    place.set(db_max_rows=None)
    assert place.read('db-pre-config = "other.configure"\n').db_max_rows == 7
    source = ConfigSource({"PGRST_DB_URI": place.uri, "PGRST_DB_PRE_CONFIG": "select"}, None)
    source.read()
    assert "function select() does not exist" in source.incomplete


def test_what_cannot_work_is_refused_by_its_name_wherever_it_stands(place):
    place.set(openapi_mode="never")
    with pytest.raises(config.ConfigError, match="openapi-mode: Invalid openapi-mode"):
        place.read()
    place.set(openapi_mode=None)


def test_every_option_that_the_database_may_say_is_one():
    known = {name.replace("_", "-") for name in config.DataConfig.__dataclass_fields__} | set(ALIASES.values())
    assert set(READ) <= known


def test_a_project_behind_our_edge_is_configured_by_us_alone(place):
    place.set(db_max_rows="2")
    assert place.read("launchdb-gateway = true\ndb-max-rows = 9\n").db_max_rows == 9
    place.set(db_max_rows=None)


def counted(server):
    return len(json.loads(server.ask("GET", "/things", role=None)[3]))


def test_a_server_follows_the_database_when_it_is_told(place):
    with place.serving() as server:
        assert counted(server) == 3
        place.set(db_max_rows="2")
        place.admin.execute("NOTIFY pgrst, 'reload config'")
        wait_until(lambda: counted(server) == 2, 10)
        place.set(db_max_rows="1", jwt_secret=SECRET)
        server.process.send_signal(12)  # SIGUSR2
        wait_until(lambda: counted(server) == 1, 10)
        signed = token({"role": f"{place.login.removesuffix('_login')}_web"}, secret=SECRET)
        assert server.ask("GET", "/things", role=None, Authorization=f"Bearer {signed}")[0] == 200
        place.set(jwt_role_claim_key="no path")
        place.admin.execute("NOTIFY pgrst, 'reload config'")
        wait_until(lambda: "failed to parse role-claim-key value (no path)" in server.log.read_text(), 10)
        assert counted(server) == 1, "the one before stays"
        place.admin.execute("NOTIFY pgrst, 'nonsense'")
        said = server.log.read_text()
        assert SECRET not in said
        assert said.count('Received a config reload message on the "pgrst" channel') == 2
    place.set(db_max_rows=None, jwt_secret=None, jwt_role_claim_key=None)


def test_a_listener_is_begun_and_ended_with_the_option(place, tmp_path):
    file = tmp_path / "conf"
    file.write_text(f'db-uri = "{place.uri}"\ndb-channel-enabled = false\n')
    listening = 'listening for database notifications on the "pgrst" channel'
    code = "import sys; from app.data.serve import standalone; sys.exit(standalone.main({}, sys.argv[1]))"
    port, log = free_port(), tmp_path / "log"
    env = {"PYTHONPATH": str(CHECKOUT), "PATH": "/usr/bin:/bin"}
    file.write_text(file.read_text() + f"server-port = {port}\n")
    with log.open("wb") as out:
        process = spawn([sys.executable, "-c", code, str(file)], env=env, stdout=out, stderr=out)
    try:
        wait_until(lambda: "API server listening" in log.read_text())
        assert listening not in log.read_text()
        file.write_text(file.read_text().replace("enabled = false", "enabled = true"))
        process.send_signal(12)
        wait_until(lambda: listening in log.read_text(), 10)
        active = f"SELECT count(*) FROM pg_stat_activity WHERE query = 'LISTEN \"pgrst\"' AND usename = '{place.login}'"
        assert place.admin.execute(active).fetchone()[0] == 1
        file.write_text(file.read_text().replace("enabled = true", "enabled = false"))
        process.send_signal(12)
        wait_until(lambda: place.admin.execute(active).fetchone()[0] == 0, 20)
    finally:
        process.kill()
        process.wait(10)


def test_a_wrong_password_ends_the_server(place):
    wrong = place.uri.replace("_login:", "_login:wrong")
    with place.serving(wrong) as server:
        assert server.process.wait(10) == 1
    text = server.log.read_text()
    assert "password authentication failed" in text or "Database connection error" in text


def test_a_server_whose_database_is_away_serves_nobody_until_its_options_are_known(place):
    """It might be one that is to show less than the file says."""
    name = place.admin.info.dbname
    with psycopg.connect(
        place.admin.info.dsn, password=place.admin.info.password, dbname="postgres", autocommit=True
    ) as server:
        place.admin.execute("SELECT 1")
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        try:
            place.set(db_max_rows="1")
            with place.serving() as served:
                status, _, headers, body = served.ask("GET", "/things", role=None)
                assert (status, json.loads(body)["code"]) == (503, "PGRST000")
                assert headers["Retry-After"] == "1"
                server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
                wait_until(lambda: served.ask("GET", "/things", role=None)[0] == 200, 20)
                assert counted(served) == 1
        finally:
            server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            place.set(db_max_rows=None)


def test_the_options_in_force_are_shown_with_those_of_the_database(place):
    place.set(db_max_rows="2")
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(CHECKOUT), "PGRST_DB_URI": place.uri}
    shown = subprocess.run(
        [sys.executable, "-m", "scripts.cli", "serve", "data", "--dump-config"], env=env, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert "db-max-rows = 2\n" in shown.stdout
    place.set(db_max_rows=None)
