"""One data API in a process of its own, as it runs in a project's container: its socket, its signals, its gate."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import stat
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
from tests.app.data.conftest import SECRET, token
from tests.fixtures.servers import wait_until

PROJECT = "proj_0123456789abcdef"
PREFIX = {"X-Launchdb-Prefix": f"/db/{PROJECT}"}
GATED = {"X-Launchdb-Prefix": f"/project/{PROJECT}/rest/v1", "X-Launchdb-Gate": "apikey"}
KEY = token({"role": "anon", "exp": 4_000_000_000})


class Place:
    """A folder with a configuration and the socket of who serves it."""

    def __init__(self, folder):
        self.folder = folder
        self.file, self.socket, self.log = folder / "data-api.conf", folder / "api.sock", folder / "log"

    def write(self, spec="a", **options):
        told = {
            "db-uri": "postgresql://nobody@127.0.0.1:1/nowhere",
            "db-anon-role": f"{PROJECT}_anon",
            "jwt-secret": SECRET,
            "jwt-role-claim-key": ".db_role",
            "db-channel-enabled": False,
            "server-unix-socket": str(self.socket),
            "server-unix-socket-mode": "600",
            "launchdb-gateway": True,
            **options,
        }
        lines = [f"{name} = {json.dumps(value)}" for name, value in told.items()]
        self.file.write_text("\n".join([f"# launchdb project={PROJECT} spec={spec * 64}", *lines, ""]))

    @contextmanager
    def serving(self):
        env = {"PYTHONPATH": str(CHECKOUT), "PATH": "/usr/bin:/bin"}
        with self.log.open("ab") as out:
            process = spawn(
                [sys.executable, "-m", "app.data.serve.standalone", str(self.file)], env=env, stdout=out, stderr=out
            )
        try:
            wait_until(lambda: process.poll() is not None or is_listening(self.socket))
            if process.poll() is None:
                self.ask("/launchdb/health")
            yield process
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(10)

    def ask(self, path="/things", *, method="GET", body=None, **headers):
        connection = http.client.HTTPConnection("localhost", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.socket))
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), json.loads(said) if said else None

    def spec(self):
        return self.ask("/launchdb/health")[1].get("X-Launchdb-Spec", "")[:1]


@pytest.fixture
def place():
    with tempfile.TemporaryDirectory(prefix="ldb-") as folder:
        made = Place(Path(folder))
        made.write()
        yield made


def test_it_says_what_it_listens_on_and_its_socket_is_its_own(place):
    with place.serving():
        assert f"listening on unix:{place.socket}" in place.log.read_text()
        assert stat.S_IMODE(place.socket.stat().st_mode) == 0o600


def test_what_a_killed_one_left_stands_in_nobodys_way(place):
    with place.serving() as process:
        process.kill()
        process.wait(10)
    assert place.socket.is_socket()
    with place.serving():
        assert place.spec() == "a"


@pytest.mark.timing
def test_it_ends_in_order_and_soon(place):
    with place.serving() as process:
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert time.monotonic() - began < 3
    assert not place.socket.exists()


def test_who_was_let_in_behind_one_that_has_gone_is_answered_though_it_is_told_to_end(place):
    """The kernel has let both in before the process looks."""
    place.write()
    with place.serving() as process:
        process.send_signal(signal.SIGSTOP)
        gone, there = (socket.socket(socket.AF_UNIX) for _ in range(2))
        for client in (gone, there):
            client.connect(str(place.socket))
        gone.close()
        there.settimeout(10)
        there.sendall(b"GET /things HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        assert there.recv(65536).startswith(b"HTTP/1.1 503 ")
        there.close()
        assert process.wait(10) == 0


def test_one_that_is_told_to_end_is_not_found_any_more_and_keeps_what_it_has(place):
    """Who has connected is answered, though slowly they ask; whoever comes finds no socket, and loses no request."""
    place.write()
    with place.serving() as process:
        connection = http.client.HTTPConnection("localhost", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(place.socket))
        connection.sock.sendall(b"GET /things HTTP/1.1\r\nHost: x\r\n")
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: not place.socket.exists(), seconds=1)
        assert process.poll() is None
        connection.sock.sendall(b"".join(f"{name}: {value}\r\n".encode() for name, value in PREFIX.items()) + b"\r\n")
        assert connection.sock.recv(65536).startswith((b"HTTP/1.1 503 ", b"HTTP/1.1 408 "))
        connection.close()
        assert process.wait(10) == 0


def test_a_new_configuration_is_read_when_it_is_told(place):
    with place.serving() as process:
        place.write(spec="b", **{"server-cors-allowed-origins": "https://only.example"})
        assert place.spec() == "a"
        process.send_signal(signal.SIGUSR2)
        wait_until(lambda: place.spec() == "b", 10)
        _, headers, _ = place.ask(**PREFIX, Origin="https://other.example")
        assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("text", ["db-uri", "", 'db-uri = "x"\ndb-pool = "many"\n', 'db-uri = "x'])
def test_a_broken_configuration_changes_nothing_and_is_named(place, text):
    with place.serving() as process:
        place.file.write_text(text)
        process.send_signal(signal.SIGUSR2)
        wait_until(lambda: "configuration refused" in place.log.read_text(), 10)
        assert place.spec() == "a"
        assert place.ask(**PREFIX)[0] == 503


def test_the_other_signal_ends_nothing(place):
    with place.serving() as process:
        process.send_signal(signal.SIGUSR1)
        wait_until(lambda: "schema cache dropped" in place.log.read_text(), 10)
        assert place.spec() == "a"


def test_one_that_cannot_be_configured_says_why_and_ends(place):
    place.write(**{"db-pool": "many"})
    with place.serving() as process:
        assert process.wait(10) == 1
    assert "db-pool must be a number" in place.log.read_text()
    assert SECRET not in place.log.read_text()


def test_its_health_is_for_its_own_host_alone(place):
    with place.serving():
        assert place.ask("/launchdb/health")[0] == 200
        assert place.ask("/launchdb/health", **PREFIX)[0] == 404


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({}, 401),
        ({"apikey": "x.y.z"}, 401),
        ({"apikey": KEY}, 503),
        ({"Authorization": f"Bearer {KEY}"}, 401),
    ],
)
def test_behind_the_gate_a_key_is_asked_for(place, sent, status):
    """503: it got through, and there is no database."""
    with place.serving():
        answered, headers, _ = place.ask(**GATED, **sent, Origin="https://some.example")
        assert answered == status
        assert headers["Access-Control-Allow-Origin"]


def test_the_key_may_stand_in_the_query(place):
    with place.serving():
        assert place.ask(f"/things?apikey={KEY}", **GATED)[0] == 503
        assert place.ask("/things?apikey=no", **GATED)[0] == 401


def test_a_browser_asks_without_a_key_what_it_may_do(place):
    with place.serving():
        asked = {"Origin": "https://some.example", "Access-Control-Request-Method": "GET"}
        assert place.ask(method="OPTIONS", **GATED, **asked)[0] == 200


def test_without_our_edge_its_headers_mean_nothing(place):
    place.write(**{"launchdb-gateway": False, "db-config": False})
    with place.serving():
        assert place.ask(**GATED)[0] == 503
        assert place.ask("/launchdb/health")[0] == 404


def test_its_limits_hold_without_redis(place):
    place.write(**{"launchdb-rate-per-minute": 3, "launchdb-body-bytes-max": 10})
    with place.serving():
        if time.time() % 60 > 55:
            time.sleep(6)
        large = place.ask(method="POST", body=b"[" + b" " * 100 + b"]", **PREFIX, Content_Type="application/json")
        assert large[0] == 413
        assert [place.ask(**PREFIX)[0] for _ in range(3)] == [503, 503, 429]
        _, headers, _ = place.ask(**PREFIX, Origin="https://some.example")
        assert (headers["RateLimit-Limit"], headers["RateLimit-Remaining"]) == ("3", "0")
        assert headers["Access-Control-Allow-Origin"]
        assert place.ask("/launchdb/health")[0] == 200


@pytest.mark.parametrize(
    "sent",
    [b"Content-Length: 100\r\n\r\n[", b"Transfer-Encoding: chunked\r\n\r\n5\r\n[1"],
    ids=["of a length", "in chunks"],
)
def test_a_body_that_ends_early_is_the_clients_fault(place, sent):
    with place.serving(), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(place.socket))
        prefix = "".join(f"{name}: {value}\r\n" for name, value in PREFIX.items()).encode()
        client.sendall(b"POST /things HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + prefix + sent)
        client.shutdown(socket.SHUT_WR)
        said = b"".join(iter(lambda: client.recv(65536), b""))
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nConnection: close\r\n" in said
    assert b'"The body ended early"' in said
    assert "Traceback" not in place.log.read_text()


def test_what_a_container_waits_for_is_light():
    """Each of these would cost every project's container memory and a part of its start."""
    heavy = ("flask", "jinja2", "pydantic", "structlog", "redis", "limits", "click", "httpx", "argon2", "docker")
    code = f"import app.data.serve.standalone, app.data.serve.process, sys; print([n for n in {heavy!r} if n in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
