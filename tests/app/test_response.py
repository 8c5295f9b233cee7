"""How answers leave: what a client reads at once was written at once, and no part waits for an acknowledgement."""

from __future__ import annotations

import socket
import threading
from contextlib import closing

import pytest
from gunicorn.config import Config
from gunicorn.http import get_parser, wsgi
from werkzeug.wrappers import Response

from app.server import response as responses
from app.server.response import OneWrite

LARGE = b"0123456789" * 3_000_000


@pytest.fixture
def pair():
    """Two ends of a connection on which every write stays one message."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.settimeout(5)
    with closing(ours), closing(theirs):
        yield ours, theirs


def answered(pair, app, asked="GET / HTTP/1.1"):
    """Answer one request; return each write of it, and whether the connection stays."""
    ours, theirs = pair
    theirs.send(f"{asked}\r\nHost: x\r\n\r\n".encode())
    cfg = Config()
    request = next(get_parser(cfg, ours, ("127.0.0.1", 1)))
    response, environ = wsgi.create(request, ours, ("127.0.0.1", 1), ("x", 80), cfg, response_class=OneWrite)
    for part in app(environ, response.start_response):
        response.write(part)
    response.close()
    stays = not response.should_close()
    ours.shutdown(socket.SHUT_WR)
    return list(iter(lambda: theirs.recv(1_000_000), b"")), stays


@pytest.mark.parametrize(
    ("app", "asked", "end"),
    [
        (Response(b'[{"id":1}]'), "GET / HTTP/1.1", b'\r\n\r\n[{"id":1}]'),
        (Response(b"x" * 60_000), "GET / HTTP/1.1", b"x" * 60_000),
        (Response(b'[{"id":1}]'), "HEAD / HTTP/1.1", b"\r\n\r\n"),
        (Response(status=204), "DELETE / HTTP/1.1", b"\r\n\r\n"),
        (Response(status=304), "GET / HTTP/1.1", b"\r\n\r\n"),
        (Response(b"", 201), "POST / HTTP/1.1", b"\r\n\r\n"),
        (Response(b"no", 404), "GET / HTTP/1.0", b"\r\n\r\nno"),
    ],
    ids=["rows", "many rows", "HEAD", "204", "304", "201", "HTTP/1.0"],
)
def test_an_answer_leaves_in_one_write(pair, app, asked, end):
    writes, _ = answered(pair, app, asked)
    assert len(writes) == 1
    assert writes[0].startswith(b"HTTP/1.")
    assert writes[0].endswith(end)


def test_a_stream_leaves_part_by_part_as_it_is_made(pair):
    writes, stays = answered(pair, Response(iter([b"a", b"bb", b"", b"ccc"])))
    assert writes[0].endswith(b"\r\n\r\n1\r\na\r\n")
    assert writes[1:] == [b"2\r\nbb\r\n", b"3\r\nccc\r\n", b"0\r\n\r\n"]
    assert stays


def test_the_head_of_a_stream_that_has_nothing_to_say_yet_leaves_at_once(pair):
    writes, _ = answered(pair, Response(iter([b"", b"a"])))
    assert writes[0].endswith(b"\r\n\r\n")
    assert writes[1:] == [b"1\r\na\r\n", b"0\r\n\r\n"]


def test_a_large_answer_arrives_whole_however_slowly_it_is_read():
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        ours.settimeout(5)
        theirs.settimeout(5)
        found = bytearray()
        reader = threading.Thread(target=lambda: [found.extend(p) for p in iter(lambda: theirs.recv(50_000), b"")])
        reader.start()
        theirs.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        cfg = Config()
        request = next(get_parser(cfg, ours, ("127.0.0.1", 1)))
        response, environ = wsgi.create(request, ours, ("127.0.0.1", 1), ("x", 80), cfg, response_class=OneWrite)
        for part in Response(LARGE)(environ, response.start_response):
            response.write(part)
        response.close()
        ours.shutdown(socket.SHUT_WR)
        reader.join(10)
        assert bytes(found).partition(b"\r\n\r\n")[2] == LARGE


@pytest.mark.parametrize("body", [LARGE, iter([LARGE[:100_000]] * 300)], ids=["whole", "in chunks"])
def test_an_answer_that_is_taken_too_slowly_is_given_up_though_something_is_taken_all_the_time(monkeypatch, body):
    monkeypatch.setattr(responses, "SEND_SECONDS", 0.3)
    monkeypatch.setattr(responses, "SLOWEST_BYTES", 10**9)
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        theirs.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        cfg, over = Config(), threading.Event()
        request = next(get_parser(cfg, ours, ("127.0.0.1", 1)))
        response, environ = wsgi.create(request, ours, ("127.0.0.1", 1), ("x", 80), cfg, response_class=OneWrite)

        def sip() -> None:
            while not over.wait(0.02):
                theirs.recv(50_000)

        reader = threading.Thread(target=sip)
        reader.start()
        try:
            with pytest.raises(TimeoutError, match="the answer was not taken in time"):
                for part in Response(body)(environ, response.start_response):
                    response.write(part)
        finally:
            over.set()
            reader.join(10)


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (200, "200 OK"), (201, "201 Created"), (204, "204 No Content"), (206, "206 Partial Content"),
        (300, "300 Multiple Choices"), (400, "400 Bad Request"), (401, "401 Unauthorized"), (403, "403 Forbidden"),
        (404, "404 Not Found"), (405, "405 Method Not Allowed"), (406, "406 Not Acceptable"), (409, "409 Conflict"),
        (413, "413 Request Entity Too Large"), (415, "415 Unsupported Media Type"),
        (416, "416 Requested Range Not Satisfiable"), (422, "422 Unprocessable Entity"), (429, "429 Too Many Requests"),
        (500, "500 Internal Server Error"), (503, "503 Service Unavailable"), (504, "504 Gateway Timeout"),
        (599, "599 "), ("332 My own", "332 My own"), ("404 Gone fishing", "404 Gone fishing"),
    ],
)  # fmt: skip
def test_reason_phrases_are_those_that_everybody_sends(pair, status, line):
    writes, _ = answered(pair, Response(b"", status))
    assert writes[0].split(b"\r\n")[0].decode() == f"HTTP/1.1 {line}"


def test_an_application_that_ends_the_connection_is_heeded(pair):
    writes, stays = answered(pair, Response(b"", 413, headers={"Connection": "close"}))
    assert b"\r\nConnection: close\r\n" in writes[0]
    assert not stays
