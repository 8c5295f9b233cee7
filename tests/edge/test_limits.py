"""Sizes and times at the edge: what is too large or too slow costs nobody else anything."""

from __future__ import annotations

import socket
import statistics
import time
from contextlib import ExitStack, suppress

import pytest

from infra.edge.proxy import CaddyProxy, Upstreams
from tests.app.server import free_port
from tests.edge.conftest import DOMAIN, caddy, edge_settings
from tests.edge.witness import witness


@pytest.fixture
def client(edge):
    return edge.client()


def chunks(count, size=65536):
    for _ in range(count):
        yield b"x" * size


@pytest.mark.parametrize("chunked", [False, True])
def test_too_large_a_body_is_413_whoever_finds_out(client, project_socket, chunked):
    body = chunks(40) if chunked else b"x" * 40 * 65536
    answer = client.post("/api/auth/login", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["status"]) == (413, 413)
    body = chunks(40) if chunked else b"x" * 40 * 65536
    assert client.post("/auth/proj_0123456789abcdef/signup", content=body).status_code == 413
    body = chunks(330) if chunked else b"x" * 330 * 65536
    answer = client.post(f"/db/{project_socket}/t", content=body)
    assert answer.status_code == 413
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.json()["message"]


def test_bodies_within_the_limits_arrive_whole(client, project_socket):
    size = 20 * 1024 * 1024
    assert client.post(f"/db/{project_socket}/t", content=b"x" * size).json()["bytes"] == size
    assert client.post(f"/db/{project_socket}/t", content=chunks(10)).json()["bytes"] == 10 * 65536


@pytest.mark.parametrize("path", ["/api/health", "/db/proj_0123456789abcdef/t", "/project/proj_0123456789abcdef/"])
def test_too_many_headers_are_refused(client, path):
    assert client.get(path, headers={f"X-Filler-{number}": "x" * 1000 for number in range(60)}).status_code == 431


def test_of_a_head_beyond_all_measure_caddy_reads_no_end(client):
    assert client.get("/", headers={f"X-Filler-{number}": "x" * 20_000 for number in range(60)}).status_code == 431


class Hasty(CaddyProxy):
    """One that waits for bodies as long as a test does."""

    def _values(self):
        return {**super()._values(), "body_seconds": 1}


@pytest.mark.parametrize(
    ("path", "arrives"),
    [
        ("/project/proj_0123456789abcdef/storage/v1/object/a/b", True),
        ("/storage/proj_0123456789abcdef/object/a/b", True),
        ("/auth/proj_0123456789abcdef/token", False),
    ],
)
def test_a_file_may_come_as_slowly_as_storage_lets_it_and_nothing_else(tmp_path, path, arrives):
    settings = edge_settings(tmp_path, LAUNCHDB_TLS="off")
    where = free_port()
    ports = Upstreams(*[f"127.0.0.1:{where}"] * 3)
    with (
        witness(where, "anybody"),
        ExitStack() as stack,
        caddy(Hasty(settings, ports), settings, stack, ports) as edge,
        socket.create_connection(("127.0.0.1", edge.port), timeout=20) as client,
    ):
        client.sendall(f"POST {path} HTTP/1.1\r\nHost: {DOMAIN}\r\nContent-Length: 20\r\n\r\n0123456789".encode())
        time.sleep(2)  # longer than a body may take
        with suppress(ConnectionError):
            client.sendall(b"0123456789")
        said = b""
        with suppress(ConnectionError):
            said = client.recv(65536)
    # Caddy takes its own time-out for a client that left, and answers 200 with nothing.
    assert (b'"bytes": 20' in said) is arrives, said


@pytest.mark.timing
def test_slow_clients_are_let_go_and_nobody_waits_for_them(edge, client):
    slow = []
    for _ in range(200):
        connection = socket.create_connection(("127.0.0.1", edge.port), timeout=30)
        connection.sendall(f"GET /api/health HTTP/1.1\r\nHost: {DOMAIN}\r\nX-".encode())
        slow.append(connection)
    try:
        began, taken = time.monotonic(), []
        while time.monotonic() - began < 3:
            started = time.monotonic()
            assert client.get("/api/health").status_code == 200
            taken.append(time.monotonic() - started)
        assert statistics.quantiles(taken, n=100)[98] < 1.0
        slow[0].settimeout(15)
        while slow[0].recv(4096):
            pass
        assert time.monotonic() - began < 15
    finally:
        for connection in slow:
            connection.close()


@pytest.mark.parametrize("size", [1_300_000, 3_000_000])
@pytest.mark.parametrize("path", ["/api/auth/login", "/auth/v1/signup"])
def test_what_is_left_of_a_refused_body_is_no_request(edge, path, size):
    """Behind a tunnel whose connections many clients share it would be answered to another one."""
    hidden = f"GET / HTTP/1.1\r\nHost: {DOMAIN}\r\n\r\n".encode()
    body = (hidden * (size // len(hidden)))[:size]
    head = f"POST {path} HTTP/1.1\r\nHost: {DOMAIN}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    last = f"GET /nothing HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: close\r\n\r\n".encode()
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", edge.port), timeout=10) as connection:
            said = b""
            with suppress(ConnectionError):
                connection.sendall(head.encode() + body + last)
            with suppress(ConnectionError):
                while found := connection.recv(65536):
                    said += found
        assert b"LaunchDB - API running" not in said
