"""Connections that rest between two requests: kept for longer than clients keep them, and no reason to refuse anybody."""

from __future__ import annotations

import socket
import time
import urllib.parse
from contextlib import ExitStack

import pytest

from tests.app.server import served
from tests.app.test_http import head

ASKED = head("GET", "/api/health").encode()
# gunicorn's worker_connections, which all of them share.
ROOM = 1000


def connected(url, source="127.0.0.1"):
    parts = urllib.parse.urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=10, source_address=(source, 0))


def answer(connection):
    """Ask on a connection; return what comes, nothing when it was closed."""
    try:
        connection.sendall(ASKED)
        return connection.recv(65536)
    except ConnectionError:
        return b""


@pytest.mark.timing
def test_a_client_that_asks_every_few_seconds_keeps_its_connection(town, settings):
    with served(settings) as url, connected(url) as connection:
        for pause in (0, 3.2, 3.2):
            time.sleep(pause)  # the time is what counts here: a request sent into a connection that ends is lost
            assert answer(connection).startswith(b"HTTP/1.1 200"), pause


def test_who_rests_on_all_connections_leaves_others_theirs(town, settings):
    with served(settings) as url, ExitStack() as held:
        mine = held.enter_context(connected(url))
        assert answer(mine).startswith(b"HTTP/1.1 200")
        for _ in range(ROOM):
            theirs = held.enter_context(connected(url, "127.0.0.2"))
            assert answer(theirs).startswith(b"HTTP/1.1 200")
        # More than there is room for beside them; each has yet to send the end of its request.
        slow = [held.enter_context(connected(url)) for _ in range(100)]
        for each in slow:
            each.sendall(ASKED[:-2])
        for each in slow:
            each.sendall(ASKED[-2:])
            assert each.recv(65536).startswith(b"HTTP/1.1 200"), "who sends a request goes before who rests"
        assert answer(mine).startswith(b"HTTP/1.1 200"), "and of those who rest it is whoever has most that loses some"
