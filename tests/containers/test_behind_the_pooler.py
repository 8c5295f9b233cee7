"""A project's container behind PgBouncer in transaction mode: nothing that it does needs a session of its own."""

from __future__ import annotations

import http.client
import json
import secrets
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path

import psycopg
import pytest

from infra.composition import Infra, instances
from infra.instances.instances import CreatedBy
from tests.app.data.conftest import SECRET, token
from tests.fixtures import containers
from tests.fixtures.projects import drop, new_tenant

pytestmark = pytest.mark.docker
CLIENTS, ROUNDS, CONNECTIONS = 8, 60, 2
KEY = token({"role": "service_role", "exp": 4_000_000_000})
CONFIGURATION = """[databases]
{id} = host={host} port={port} dbname={id} pool_size={size}
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = /run/pgbouncer
unix_socket_mode = 0777
auth_type = scram-sha-256
auth_file = /etc/pooled/userlist.txt
pool_mode = transaction
max_prepared_statements = 200
"""


@pytest.fixture
def place(dockerd, server_url):
    """An installation with one project's database."""
    with containers.installation(
        dockerd, LAUNCHDB_DATABASE_URL=server_url, LAUNCHDB_REDIS_URL="unix:///nowhere"
    ) as settings:
        infra = Infra.open(settings)
        infra.databases.ensure_shared_roles("test")
        tenant = new_tenant(infra)
        yield settings, infra, tenant
        drop(infra, tenant.id)
        infra.close()


@pytest.fixture
def pooled(dockerd, server_url, place):
    """A PgBouncer of the test's own in front of it, with fewer connections than there are clients."""
    settings, _infra, tenant = place
    login, server = tenant.roles.authenticator, psycopg.conninfo.conninfo_to_dict(server_url)
    folder = Path(tempfile.mkdtemp(prefix="ldb-pooled-"))
    (folder / "userlist.txt").write_text(f'"{login}" "{tenant.passwords[login]}"\n')
    (folder / "pgbouncer.ini").write_text(
        CONFIGURATION.format(id=tenant.id, host=server["host"], port=server["port"], size=CONNECTIONS)
    )
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755)
    (settings.run_folder / "pgbouncer").chmod(0o777)
    binds = [f"{folder}:/etc/pooled:ro", f"{settings.run_folder}/pgbouncer:/run/pgbouncer"]
    made = dockerd.create_container_from_config(
        {
            "Image": f"launchdb/pgbouncer:{settings.version}",
            "Entrypoint": ["pgbouncer"],
            "Cmd": ["/etc/pooled/pgbouncer.ini"],
            "HostConfig": {"NetworkMode": "host", "Binds": binds},
        },
        f"test-pooled-{secrets.token_hex(4)}",
    )
    dockerd.start(made["Id"])
    yield
    dockerd.remove_container(made["Id"], force=True)
    shutil.rmtree(folder)


@pytest.fixture
def path(place, pooled):
    """The socket of the project's container, which reaches its database by the pooler."""
    settings, infra, tenant = place
    login = tenant.roles.authenticator
    spec = containers.new_spec(
        id=tenant.id, project_id=tenant.id, jwt_secret=SECRET, anon_role=tenant.roles.anon, pool_size=CLIENTS,
        db_uri=containers.SocketFolder(infra.databases.cluster).data_uri(tenant.id, login, tenant.passwords[login]),
    )  # fmt: skip
    made = instances(settings.model_copy(update={"pooler_url": "postgresql://somewhere"}))
    made.ensure(spec, CreatedBy())
    yield settings.run_folder / "projects" / tenant.id / "api.sock"
    made.remove(tenant.id)
    made.close()


def ask(connection, method, target, body=None, prefer=""):
    """Return status and body of an answer."""
    headers = {"X-Launchdb-Prefix": "/db/x", "Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    connection.request(method, target, body and json.dumps(body), {**headers, "Prefer": prefer})
    answer = connection.getresponse()
    return answer.status, answer.read()


def connected(path):
    connection = http.client.HTTPConnection("localhost", timeout=20)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    return connection


def client(path, number, failed):
    """Read, write, break a rule and count, over and over, on one connection."""
    connection = connected(path)
    for turn in range(ROUNDS):
        method, target, body, prefer, wanted = (
            ("POST", "/notes", {"body": f"{number}-{turn}", "n": 1}, "", (201,)),
            ("GET", f"/notes?select=id,body&id=eq.{turn}", None, "", (200,)),
            ("POST", "/notes", {"body": "x", "n": 1000}, "", (400,)),
            ("PATCH", f"/notes?id=eq.{turn}", {"body": "y"}, "return=representation", (200,)),
            ("GET", "/notes?limit=3&order=id", None, "count=exact", (200, 206)),
        )[turn % 5]
        status, said = ask(connection, method, target, body, prefer)
        if status not in wanted:
            failed.append((method, target, status, said[:200]))
    connection.close()


def test_many_clients_share_few_connections_while_the_schema_changes(place, path):
    _settings, infra, tenant = place
    login = tenant.roles.authenticator
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute(
            "CREATE TABLE notes (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text, n int CHECK (n < 9))"
        )
    failed = []
    threads = [threading.Thread(target=client, args=(path, number, failed)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("ALTER TABLE notes ADD COLUMN late int")
    for thread in threads:
        thread.join()
    assert failed == []
    with infra.database.autocommit() as tx:
        seen = tx.value("SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND usename = %s", (tenant.id, login))
    assert seen <= CONNECTIONS


def test_a_change_of_the_schema_counts_within_a_second(place, path):
    """The pooler's sessions have prepared, for all clients, what was right before."""
    _settings, _infra, tenant = place
    connection, moment = connected(path), "2024-05-06T07:08:09+00:00"
    written = ("POST", "/days?select=day", {"day": moment}, "return=representation")
    found = ("GET", "/days?select=day&day=eq.2024-05-06T07:08:09Z")
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("CREATE TABLE days (day date)")
        for _ in range(ROUNDS):
            ask(connection, *written)
            ask(connection, *found)
        owner.execute("TRUNCATE days; ALTER TABLE days ALTER day TYPE timestamptz; CREATE TABLE made (id int)")
        time.sleep(1)  # the promise itself
        assert ask(connection, *written) == (201, json.dumps([{"day": moment}]).replace(" ", "").encode())
        assert json.loads(ask(connection, *found)[1]) == [{"day": moment}]
        assert ask(connection, "GET", "/made")[0] == 200
        assert owner.execute("SELECT count(*) FROM days WHERE day::time <> '00:00'").fetchone() == (1,)
    connection.close()
