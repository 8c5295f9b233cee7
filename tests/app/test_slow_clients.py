"""Clients that drip, stall or never leave: whoever behaves is answered as if they were not there."""

from __future__ import annotations

import json
import selectors
import socket
import time
import urllib.parse
from contextlib import contextmanager

import httpx
import pytest

from tests.app.server import served
from tests.app.test_http import head, talk

CROWD = 200
CHUNKED = ("Content-Type: application/json", "Transfer-Encoding: chunked")
LONG = ("Content-Type: application/json", "Content-Length: 100")


@contextmanager
def crowd(url, first, count=CROWD):
    """Hold connections that have each sent `first`."""
    parts = urllib.parse.urlsplit(url)
    connections = []
    try:
        for _ in range(count):
            connection = socket.create_connection((parts.hostname, parts.port), timeout=5)
            connection.sendall(first)
            connections.append(connection)
        yield connections
    finally:
        for connection in connections:
            connection.close()


def worst_of(url, connections, *, seconds=1.5):
    """Ask as one who behaves while each of the others sends a byte now and then; return the 99th percentile."""
    took, deadline = [], time.monotonic() + seconds
    while time.monotonic() < deadline:
        for connection in connections[len(took) % 10 :: 10]:
            connection.send(b"x")
        started = time.monotonic()
        with httpx.Client(timeout=30) as fresh:
            assert fresh.get(f"{url}/api/health").status_code == 200
        took.append(time.monotonic() - started)
    return sorted(took)[int(0.99 * len(took))]


@pytest.mark.timing
@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"GET /api/health HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        head("POST", "/api/auth/login", *LONG).encode() + b'{"email": "',
        head("POST", "/api/auth/login", *CHUNKED).encode() + b'5\r\n{"ema',
    ],
    ids=["nothing", "headers", "body", "chunks"],
)
def test_two_hundred_dripping_connections_do_not_slow_others(town, settings, first):
    with served(settings) as url, crowd(url, first) as connections:
        assert worst_of(url, connections) < 1


@pytest.mark.timing
def test_clients_that_never_leave_hold_up_nobody(town, settings):
    parting = head("GET", "/api/health", "Connection: close").encode()
    with served(settings) as url, crowd(url, parting, count=20) as connections:
        assert worst_of(url, [], seconds=1.0) < 1
        for connection in connections:
            answer = b""
            while found := connection.recv(65536):
                answer += found
            assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.timing
@pytest.mark.full
def test_a_request_that_does_not_arrive_in_time_is_refused_as_a_problem(town, settings):
    with served(settings) as url:
        started = time.monotonic()
        status, headers, body = talk(url, "GET /api/health HTTP/1.1\r\nHost: x\r\nX-Slow: y", seconds=15)
        assert (status, headers["content-type"]) == (408, "application/problem+json")
        assert json.loads(body)["type"] == "/problems/request-timeout"
        assert time.monotonic() - started < 13
        endless = talk(url, "GET / HTTP/1.1\r\nX: " + "a" * 300_000)
        assert endless[0] == 431
    assert "Traceback" not in (settings.home / "api.log").read_text()


def test_requests_in_pieces_and_in_a_row_are_answered_each(town, settings):
    with served(settings) as url:
        parts = urllib.parse.urlsplit(url)
        # Without a token it is refused whoever else has signed in from this address within the minute.
        body = b'{"name": "a project of nobody"}'
        post = head("POST", "/api/projects", "Content-Type: application/json", f"Content-Length: {len(body)}")
        row = post.encode() + body + head("GET", "/api/health").encode() + head("GET", "/nope").encode()
        with socket.create_connection((parts.hostname, parts.port), timeout=5) as connection:
            for start in range(0, len(row), 7):
                connection.sendall(row[start : start + 7])
            assert _statuses(connection, 3) == [401, 200, 404]
            connection.sendall(row)
            assert _statuses(connection, 3) == [401, 200, 404]


def _statuses(connection, count):
    """Read so many answers that follow one another."""
    raw, found, deadline = b"", [], time.monotonic() + 5
    with selectors.DefaultSelector() as waiting:
        waiting.register(connection, selectors.EVENT_READ)
        while len(found) < count:
            assert time.monotonic() < deadline, raw
            waiting.select(0.5)
            raw += connection.recv(65536)
            while (whole := _one(raw)) is not None:
                found.append(int(raw.split(b" ", 2)[1]))
                raw = raw[whole:]
    return found


def _one(raw):
    top, end, rest = raw.partition(b"\r\n\r\n")
    if not end:
        return None
    length = next(
        (int(v) for n, _, v in (x.partition(b":") for x in top.split(b"\r\n")) if n.lower() == b"content-length")
    )
    return len(top) + 4 + length if len(rest) >= length else None
