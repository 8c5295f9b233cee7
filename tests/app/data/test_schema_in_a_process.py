"""A change of the schema counts within a second for a data API in a process of its own, told of it or not."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.settings import CHECKOUT
from infra.pipeline import spawn
from infra.sockets import is_listening
from tests.app.data.asked import MERGES, WROTE, named
from tests.fixtures.servers import wait_until

COUNTS_AFTER_SECONDS = 1.0
OFTEN = 7
MOMENT = "2024-05-06T07:08:09+00:00"
BEFORE = """CREATE TABLE {t} (id int, w varchar(3), d date); CREATE TABLE {t}_p (id int PRIMARY KEY);
CREATE TABLE {t}_log (n int); CREATE FUNCTION {t}_f() RETURNS int STABLE LANGUAGE plpgsql AS
'BEGIN INSERT INTO {t}_log VALUES (1); RETURN 1; END'"""
CHANGE = """TRUNCATE {t}; ALTER TABLE {t} ADD PRIMARY KEY (id), ALTER w TYPE text, ALTER d TYPE timestamptz,
ADD p int REFERENCES {t}_p; INSERT INTO {t}_p VALUES (5); INSERT INTO {t} VALUES (1, 'old', NULL, 5);
ALTER FUNCTION {t}_f() VOLATILE; CREATE TABLE {t}_made (id int)"""
# The first hears of it, whatever it is; so each order of them is a test of its own.
ASKED = (
    ("GET", "/{t}?select=id,{t}_p(id)&id=eq.1", None, {}, 200, [{"id": 1, "{t}_p": {"id": 5}}]),
    ("GET", "/{t}_made", None, {}, 200, []),
    ("POST", "/rpc/{t}_f", {}, {}, 200, 1),
    ("POST", "/{t}?select=d", {"id": 2, "d": MOMENT}, WROTE, 201, [{"d": MOMENT}]),
    ("POST", "/{t}?select=w", {"id": 1, "w": "longer"}, MERGES, 200, [{"w": "longer"}]),
)


@contextmanager
def serving(world, **options):
    """Run a data API of the database; give what asks it."""
    with tempfile.TemporaryDirectory(prefix="ldb-") as folder:
        file, path = Path(folder) / "data-api.conf", Path(folder) / "asked.sock"
        told = {"db-uri": world.config.db_uri, "db-anon-role": world.role, "server-unix-socket": str(path), **options}
        file.write_text("\n".join(f"{name} = {json.dumps(value)}" for name, value in told.items()) + "\n")
        env = {"PYTHONPATH": str(CHECKOUT), "PATH": "/usr/bin:/bin"}
        process = spawn(
            [sys.executable, "-m", "app.data.serve.standalone", str(file)],
            env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_until(lambda: is_listening(path))
            yield lambda *request: ask(path, *request)
        finally:
            process.kill()
            process.wait(10)


def ask(path, method, target, body=None, headers=None):
    connection = http.client.HTTPConnection("localhost", timeout=20)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    sent = {"Content-Type": "application/json", **(headers or {})}
    connection.request(method, target.replace(" ", "%20"), json.dumps(body) if body is not None else None, sent)
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    return answer.status, json.loads(said) if said else None


@pytest.mark.parametrize("listens", [True, False], ids=["told", "not-told"])
@pytest.mark.parametrize("kept", ["stamped", "plain"])
def test_each_kind_of_request_hears_of_a_change(request, kept, listens):
    world = request.getfixturevalue(kept)
    with serving(world, **{"db-channel-enabled": listens}) as asked:
        for first in range(0, len(ASKED), 2):
            names = world.names()
            world.owner.execute(named(BEFORE, **names))
            order = [named(list(each), **names) for each in (*ASKED[first:], *ASKED[:first])]
            for _ in range(OFTEN):
                for method, target, body, headers, _status, _body in order:
                    asked(method, target, body, headers)
            world.owner.execute(named(CHANGE, **names))
            if listens:
                world.owner.execute("NOTIFY pgrst, 'reload schema'")
            time.sleep(COUNTS_AFTER_SECONDS)  # the promise itself
            for method, target, body, headers, status, wanted in order:
                assert asked(method, target, body, headers) == (status, wanted), (method, target)
