"""A service is restarted again and again while clients write and read through Caddy: none of them fails."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from app.server.server import KEEPALIVE_SECONDS
from config.settings import CHECKOUT
from infra.edge.proxy import CaddyProxy, Upstreams
from tests.app.server import free_port
from tests.edge.conftest import caddy, edge_settings
from tests.fixtures.servers import wait_until

RESTARTS = 4
# It answers what it read; the server is the one that our services run in.
PROGRAM = """
def app(environ, start):
    read = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start("200 OK", [("Content-Length", str(len(read)))])
    return [read]
"""


@contextmanager
def serving(folder, port):
    """Our server with the program, until it has ended in order."""
    options = ["--bind", f"127.0.0.1:{port}", "--worker-class", "app.server.server.ProblemWorker", "--threads", "16"]
    options += ["--no-control-socket", "--log-level", "critical"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{folder}:{CHECKOUT}"}
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", *options, "program:app"], cwd=CHECKOUT, env=environment
    )
    try:
        wait_until(lambda: answers(port))
        yield
    finally:
        process.terminate()
        assert process.wait(20) == 0


def answers(port) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def home():
    """A home whose sockets have short names."""
    with tempfile.TemporaryDirectory(prefix="ldbt-") as name:
        yield Path(name)


def test_no_write_and_no_read_fails_while_a_service_is_restarted(home, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    port = free_port()
    settings, upstreams = edge_settings(home, LAUNCHDB_TLS="off"), Upstreams(*[f"127.0.0.1:{port}"] * 3)
    found, over, lock = Counter(), threading.Event(), threading.Lock()

    def ask_on(edge, method, body):
        client = edge.client()
        while not over.is_set():
            try:
                answer = client.request(method, "/api/x", content=body)
                told = (answer.status_code, answer.content == body)
            except httpx.HTTPError as error:
                told = (repr(error), False)
            with lock:
                found[(method, *told)] += 1
            time.sleep(0.01)

    with ExitStack() as stack:
        edge = stack.enter_context(caddy(CaddyProxy(settings, upstreams), settings, stack, upstreams))
        asking = [("POST", b"x" * 100)] * 5 + [("GET", b"")] * 3 + [("DELETE", b"")] * 2
        threads = [threading.Thread(target=ask_on, args=(edge, *how)) for how in asking]
        for number in range(RESTARTS):
            with serving(tmp_path, port):
                for thread in threads if number == 0 else ():
                    thread.start()
                time.sleep(1.2)
        with serving(tmp_path, port):
            time.sleep(0.5)
            over.set()
            for thread in threads:
                thread.join()
    print(f"{RESTARTS} restarts: {dict(found)}")
    assert set(found) == {("POST", 200, True), ("GET", 200, True), ("DELETE", 200, True)}
    assert found["POST", 200, True] > 100


@pytest.mark.timing
def test_a_connection_that_rests_is_let_go_by_caddy_before_the_server_lets_it_go(served):
    """Otherwise a write could be sent into one that is being closed, and nobody would know whether it was done."""
    found = set(rests(served["apps"]["http"]))
    assert {kind for kind, _seconds in found} == {"unix", "tcp"}
    assert [(kind, seconds) for kind, seconds in found if seconds >= KEEPALIVE_SECONDS] == []


@pytest.fixture
def served(home):
    """Caddy's configuration as it understands it."""
    settings = edge_settings(home, LAUNCHDB_TLS="off")
    with ExitStack() as stack, caddy(CaddyProxy(settings), settings, stack, Upstreams()) as edge:
        yield edge.proxy.served()


def rests(node):
    """Every upstream's kind, with how many seconds a connection to it may rest."""
    if isinstance(node, dict):
        if node.get("handler") == "reverse_proxy":
            unix, kept = node["upstreams"][0]["dial"].startswith("unix/"), node["transport"]["keep_alive"]
            yield "unix" if unix else "tcp", kept["idle_timeout"] / 1e9 if kept.get("enabled", True) else 0.0
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from rests(each)
