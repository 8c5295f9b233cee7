"""The server of its own as an operator knows it: its administration, its log, its options and what it refuses."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import sys

import jwt
import pytest

from app.data import config
from app.data.config_checks import CHOICES
from app.data.config_text import EXAMPLE, dumped
from app.data.run.bearer import decode_token
from app.data.serve.config_source import ConfigSource
from config.settings import CHECKOUT
from tests.app.data.conftest import SECRET, standalone
from tests.app.server import free_port
from tests.fixtures.servers import wait_until


def ask(port, path, host="127.0.0.1"):
    asked = http.client.HTTPConnection(host, port, timeout=20)
    asked.request("GET", path)
    answer = asked.getresponse()
    said = answer.status, answer.headers, answer.read().decode()
    asked.close()
    return said


@pytest.fixture(scope="module")
def administered(project, tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("administered"), free_port()
    with standalone(project, folder, **{"admin-server-port": port, "log-level": "warn", "db-pool": 1}) as server:
        server.admin, server.log = port, folder / "log"
        yield server


def test_it_lives_and_is_ready_while_all_connections_are_lent(administered, project):
    project.admin.execute("CREATE FUNCTION doze() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1 FROM pg_sleep(3)'")
    asked = administered.connect()
    asked.request("GET", "/rpc/doze", headers={"Authorization": f"Bearer {project.key('service_role')}"})
    wait_until(lambda: "pgrst_db_pool_open 1\n" in ask(administered.admin, "/metrics")[2])
    assert ask(administered.admin, "/live")[0] == 200
    assert ask(administered.admin, "/ready")[0] == 200
    answer = asked.getresponse()
    assert (answer.status, answer.read()) == (200, b"1")
    asked.close()
    assert ask(administered.admin, "/nothing")[0] == 404


def test_numbers_are_told_as_prometheus_reads_them(administered):
    administered.ask("GET", "/books")
    status, headers, text = ask(administered.admin, "/metrics")
    assert (status, headers["Content-Type"].split(";")[0]) == (200, "text/plain")
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert values["pgrst_db_pool_max"] == "1"
    assert int(values['pgrst_schema_cache_loads_total{status="SUCCESS"}']) >= 1
    assert values["pgrst_db_pool_waiting"] == "0"
    assert all(f"# TYPE {name.partition('{')[0]} " in text for name in values)


def test_options_are_shown_without_secrets_and_the_schema_whole(administered, project):
    text = ask(administered.admin, "/config")[2]
    assert 'jwt-secret = "(hidden)"' in text
    assert SECRET not in text
    assert project.id + "_authenticator" not in text
    assert 'log-level = "warn"\n' in text
    cache = json.loads(ask(administered.admin, "/schema_cache")[2])
    assert {"name": "books", "schema": "public"} in [table["name"] for table in cache["dbTables"]]
    assert any(each["name"]["name"] == "add" for each in cache["dbRoutines"])
    assert any(each["constraint"] == "books_author_id_fkey" for each in cache["dbRelationships"])


def test_the_log_has_a_line_for_each_answer_of_its_level_and_no_key(administered):
    administered.ask("GET", "/books?select=id", User_Agent="first")
    administered.ask("GET", "/nothing_here?apikey=hush-hush&x=1", User_Agent='sec"ond')
    wait_until(lambda: "nothing_here" in administered.log.read_text())
    text = administered.log.read_text()
    line = next(line for line in text.splitlines() if "nothing_here" in line)
    role = f"{administered.project.id}_service"
    assert re.fullmatch(
        rf'127\.0\.0\.1 - {role} \[.+ \+0000\] "GET /nothing_here\?apikey=\*&x=1 HTTP/1\.1" 400 \d+ "" "sec\'ond"', line
    ), "The log has the format that other web servers' logs have"
    assert "sec'ond" in text
    assert "/books?select=id" not in text
    assert "hush-hush" not in text


def test_what_failed_is_said_before_its_line_and_a_preflight_is_no_request(project, tmp_path):
    project.admin.execute(
        "CREATE OR REPLACE FUNCTION fails() RETURNS int LANGUAGE sql AS 'SELECT 1 FROM pg_sleep(20)'"
        " SET statement_timeout = '50ms'"
    )
    with standalone(project, tmp_path, **{"log-level": "error"}) as server:
        preflight = {"Origin": "https://x.example", "Access-Control-Request-Method": "POST"}
        assert server.ask("OPTIONS", "/books", role=None, **preflight)[0] == 200
        assert server.ask("POST", "/rpc/fails", body={})[0] == 500
        assert server.ask("GET", "/nothing_here")[0] == 404
        wait_until(lambda: '"POST /rpc/fails HTTP/1.1" 500' in (tmp_path / "log").read_text())
        server.process.terminate()
        server.process.wait(10)
    lines = (tmp_path / "log").read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if "POST /rpc/fails" in line)
    assert "canceling statement due to statement timeout" in lines[at - 1]
    assert not any("OPTIONS" in line or "nothing_here" in line for line in lines)
    assert any("SIGTERM received" in line for line in lines)


def test_who_has_lost_its_socket_is_not_alive(project, tmp_path):
    port, place = free_port(), tmp_path / "data.sock"
    with standalone(project, tmp_path, **{"admin-server-port": port, "server-unix-socket": str(place)}):
        assert (ask(port, "/live")[0], ask(port, "/ready")[0]) == (200, 200)
        place.unlink()
        assert (ask(port, "/live")[0], ask(port, "/ready")[0]) == (500, 500)


def test_two_servers_share_a_port_where_both_are_told_to(project, tmp_path):
    told = {"server-port": free_port(), "server-reuseport": True}
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with standalone(project, tmp_path / "one", **told) as first:
        first.port = told["server-port"]
        with standalone(project, tmp_path / "two", **told) as second:
            first.process.terminate()
            assert first.process.wait(10) == 0
            second.port = told["server-port"]
            assert second.ask("GET", "/books")[0] == 200


def test_it_listens_where_it_is_told_to(project, tmp_path):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    place = tmp_path / "admin.sock"
    told = {"server-host": "!6", "admin-server-unix-socket": str(place), "admin-server-unix-socket-mode": "600"}
    with standalone(project, tmp_path, **told) as server:
        assert ask(server.port, "/books", "::1")[0] == 200
        assert place.stat().st_mode & 0o777 == 0o600
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(place))
            client.sendall(b"GET /live HTTP/1.0\r\n\r\n")
            assert b" 200 " in client.recv(4096).partition(b"\r\n")[0]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        *((name, "never", said) for name, (_, said) in CHOICES.items()),
        ("server-unix-socket-mode", "800", "not an octal"),
        ("server-unix-socket-mode", "577", "needs to be between 600 and 777"),
        ("admin-server-unix-socket-mode", "1000", "needs to be between 600 and 777"),
        ("db-schemas", "public, pg_catalog", "db-schemas does not allow schema: 'pg_catalog'"),
        ("db-schema", "information_schema", "db-schemas does not allow schema: 'information_schema'"),
        ("jwt-aud", "foo://%%$$^^.com", "jwt-aud should be a string or a valid URI"),
        ("jwt-secret", "short_secret", "The JWT secret must be at least 32 characters long."),
        ("jwt-role-claim-key", "role.other", "failed to parse role-claim-key value (role.other)"),
        ("jwt-role-claim-key", ".role[", "failed to parse role-claim-key value (.role[)"),
        ("openapi-server-proxy-uri", "example.com", "Malformed proxy uri"),
        ("openapi-server-proxy-uri", "ftp://example.com", "Malformed proxy uri"),
        ("openapi-server-proxy-uri", "http://example.com:port", "Malformed proxy uri"),
        ("server-port", "70000", "from 0 to 65535"),
        ("admin-server-port", "3000", "admin-server-port cannot be the same as server-port"),
        ("db-pool", "many", "db-pool must be a number"),
    ],
)
def test_an_option_that_cannot_work_is_refused_by_its_name(name, value, said):
    with pytest.raises(config.ConfigError) as refused:
        config.from_values({name: value})
    assert said in str(refused.value)
    assert name.replace("db-schema", "db-schemas").replace("schemass", "schemas") in str(refused.value)
    if name == "jwt-secret":
        assert value not in str(refused.value)


def test_a_secret_that_is_no_base64_is_refused_where_it_has_to_be_some():
    with pytest.raises(config.ConfigError, match="no base64"):
        config.from_values({"jwt-secret": "!" * 44, "jwt-secret-is-base64": "true"})
    assert config.from_values({"jwt-secret": "QUFB" * 11, "jwt-secret-is-base64": "true"}).jwt_secret_is_base64


@pytest.mark.parametrize(
    ("alias", "name", "value"),
    [
        ("db-schema", "db_schemas", ("a",)),
        ("max-rows", "db_max_rows", 5),
        ("role-claim-key", "jwt_role_claim_key", ".a"),
    ],
)
def test_names_of_before_are_taken_and_those_of_today_come_first(alias, name, value):
    given = ",".join(value) if isinstance(value, tuple) else str(value)
    assert getattr(config.from_values({alias: given}), name) == value
    assert (
        getattr(config.from_values({alias: "9" if "rows" in alias else ".x", name.replace("_", "-"): given}), name)
        == value
    )


def test_a_variable_comes_before_the_file_and_a_secret_from_a_file_of_its_own(tmp_path):
    file, secret, uri = tmp_path / "conf", tmp_path / "secret", tmp_path / "uri"
    file.write_text(f'db-uri = "@{uri}"\njwt-secret = "@{secret}"\ndb-max-rows = 5\ndb-pool = 3\n')
    secret.write_text(f"{SECRET}\n")
    uri.write_text("postgresql://somebody@nowhere/db\n")
    source = ConfigSource({"PGRST_DB_MAX_ROWS": "7"}, str(file))
    read, *_ = source.read()
    assert (read.db_max_rows, read.db_pool) == (7, 3)
    assert (read.jwt_secret, read.db_uri) == (SECRET, "postgresql://somebody@nowhere/db")
    secret.write_text("x" * 40)
    assert source.read()[0].jwt_secret == "x" * 40
    secret.write_text("short")
    with pytest.raises(config.ConfigError, match="at least 32"):
        source.read()
    secret.unlink()
    with pytest.raises(config.ConfigError, match="jwt-secret cannot be read"):
        source.read()


def test_a_secret_may_be_any_bytes(tmp_path):
    secret, raw = tmp_path / "secret", bytes(range(128, 160)) + b"\n\xff"
    secret.write_bytes(raw)
    read = ConfigSource(
        {"PGRST_JWT_SECRET": f"@{secret}", "PGRST_DB_CONFIG": "false", "PGRST_DB_URI": "x"}, None
    ).read()[0]
    claims = {"role": "somebody"}
    signed = jwt.encode(claims, raw, algorithm="HS256")
    assert decode_token(signed, read) == claims
    assert config.from_text(dumped(read, with_secrets=True)) == read


def test_what_is_dumped_is_what_is_read():
    read = config.from_values(
        {"db-uri": "postgresql://x", "jwt-secret": 'a "quoted" ünusual secret of length', "db-schemas": "a, b",
         "db-max-rows": "5", "db-tx-end": "rollback", "app.settings.x": "y", "db-extra-search-path": ""}
    )  # fmt: skip
    text = dumped(read, with_secrets=True)
    assert config.from_text(text) == read
    assert dumped(config.from_text(text), with_secrets=True) == text
    assert config.from_text(EXAMPLE).db_schemas == ("public",)


def launchdb(*arguments, **environ):
    told = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(CHECKOUT), **environ}
    return subprocess.run(
        [sys.executable, "-m", "scripts.cli", "serve", "data", *arguments], env=told, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


def test_the_command_shows_refuses_and_asks(administered, project, tmp_path):
    assert launchdb("--example").stdout == EXAMPLE
    shown = launchdb("--dump-config", PGRST_DB_URI="postgresql://x", PGRST_DB_POOL="4")
    assert (shown.returncode, "db-pool = 4\n" in shown.stdout) == (0, True)
    refused = launchdb(PGRST_DB_URI="postgresql://x", PGRST_OPENAPI_MODE="never")
    assert (refused.returncode, "Invalid openapi-mode" in refused.stderr) == (1, True)
    assert "Traceback" not in refused.stderr
    assert launchdb(str(tmp_path / "nothing.conf")).returncode == 1
    asked = {"PGRST_DB_URI": "postgresql://x", "PGRST_ADMIN_SERVER_PORT": str(administered.admin)}
    ready = launchdb("--ready", **asked)
    assert (ready.returncode, ready.stdout) == (0, f"OK: http://127.0.0.1:{administered.admin}/ready\n")
    assert launchdb("--ready", PGRST_DB_URI="postgresql://x").returncode == 1
    assert launchdb("--ready", **asked | {"PGRST_ADMIN_SERVER_PORT": str(free_port())}).returncode == 1
    schema = launchdb("--dump-schema", str(project.folder / "data-api.conf"))
    assert json.loads(schema.stdout)["dbTables"]
