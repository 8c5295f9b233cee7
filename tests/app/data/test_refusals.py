"""What a data API on a port of its own refuses: in its own shape, so that clients can show it, browsers too."""

from __future__ import annotations

import json
import socket

import pytest

from config.limits import HEAD_BYTES_MAX, URL_BYTES_MAX
from tests.app.data.conftest import standalone
from tests.app.test_http import head, talk

ORIGIN = "Origin: https://some.example"


def spoken(answer, status):
    """Check that a refusal is one that official clients understand; return what it says."""
    answered, headers, body = answer
    assert answered == status, body[:300]
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert headers["access-control-allow-origin"] == "*"
    assert "retry-after" in headers["access-control-expose-headers"].lower()
    said = json.loads(body)
    assert set(said) == {"code", "message", "details", "hint"}
    assert said["message"]
    return said


def url_of(size):
    """A URL of so many bytes that means something."""
    begin = "/authors?select=id&id=in.("
    return begin + ("1," * size)[: size - len(begin) - 2] + "2)"


def test_a_url_of_16_kib_brings_rows(server):
    target = url_of(URL_BYTES_MAX)
    assert len(target) == URL_BYTES_MAX
    status, _, headers, body = server.ask("GET", target)
    assert (status, json.loads(body)) == (200, [{"id": 1}, {"id": 2}])
    # Node takes 16 KiB of an answer's headers, and this would repeat the URL.
    assert "Content-Location" not in headers
    assert server.ask("GET", "/authors?id=eq.1")[2]["Content-Location"] == "/authors?id=eq.1"


@pytest.mark.parametrize("size", [URL_BYTES_MAX + 2, URL_BYTES_MAX + 500, HEAD_BYTES_MAX, 200_000, 2_000_000])
def test_a_longer_one_is_said_to_be_too_long(server, size):
    said = spoken(talk(server.url, head("GET", url_of(size), ORIGIN)), 414)
    assert (said["code"], said["message"]) == ("PGRST125", "The URL is too long")
    assert "16 KiB" in said["hint"]


@pytest.mark.parametrize("size", [100, URL_BYTES_MAX + 500, 40_000, 200_000])
def test_a_browser_may_ask_what_is_then_refused(server, size):
    asked = (ORIGIN, "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization,apikey,x-own")
    status, headers, _ = talk(server.url, head("OPTIONS", url_of(size), *asked))
    assert status == 200
    assert headers["access-control-allow-origin"] == "*"
    assert "GET" in headers["access-control-allow-methods"]
    allowed = headers["access-control-allow-headers"].lower().split(", ")
    assert {"authorization", "apikey"} <= set(allowed)
    assert {"x-own", "*"} & set(allowed)


CHUNKED = (ORIGIN, "Content-Type: application/json", "Transfer-Encoding: chunked")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (head("GET", "/authors", ORIGIN, "X-Long: " + "a" * 30_000), 431),
        (head("GET", "/authors", ORIGIN, "X-Long: " + "a" * 300_000), 431),
        (head("GET", "/authors", ORIGIN, *(f"X-{number}: y" for number in range(500))), 431),
        (head("GET", "/authors", ORIGIN, "A b: c"), 400),
        (head("GET", "/authors", ORIGIN, "Content-Length: x"), 400),
        (head("POST", "/authors", ORIGIN, "Content-Length: 1", "Content-Length: 2") + "{}", 400),
        ("GET /authors HTTP/9.9\r\nHost: x\r\n\r\n", 400),
        ("hello\r\n\r\n", 400),
        (head("POST", "/authors", *CHUNKED) + "zz\r\n", 400),
        (head("POST", "/authors", *CHUNKED) + "5\r\n{}", 400),
        (head("POST", "/authors", ORIGIN, "Transfer-Encoding: strange"), 501),
        (head("POST", "/authors", ORIGIN, "Expect: miracles"), 417),
        (head("POST", "/authors", ORIGIN, "Content-Type: application/json", "Content-Length: 99999999999"), 413),
        (head("POST", "/authors", *CHUNKED) + "B00000\r\n" + "a" * 0xB00000 + "\r\n0\r\n\r\n", 413),
        (head("POST", "/authors", ORIGIN, "Content-Encoding: gzip", "Content-Length: 2") + "{}", 415),
    ],
    ids=lambda value: str(value)[:30].partition("\r")[0],
)
def test_what_is_refused_before_anybody_reads_it_has_the_same_shape(server, sent, status):
    spoken(talk(server.url, sent, half_closed=sent.endswith("{}")), status)
    assert server.ask("GET", "/authors?id=eq.1")[0] == 200


def test_a_body_that_is_refused_unread_ends_the_connection_with_the_answer(server):
    """Whoever sends ten gigabytes is not waited for."""
    sent = head("POST", "/authors", ORIGIN, "Content-Type: application/json", "Content-Length: 10737418240")
    answer = talk(server.url, sent + "x" * 100_000)
    spoken(answer, 413)
    assert answer[1]["connection"] == "close"


HASTY = """
import sys
from app.server import arrival, server
arrival.GATHER_SECONDS = server.GATHER_SECONDS = arrival.BODY_SECONDS = 0.3
from app.data.serve import standalone
standalone.main({}, sys.argv[1])
"""
SMALL = """
import sys
from app.data.serve import process, standalone
class Small(process._Process):
    def __init__(self, *args):
        super().__init__(*args)
        self.worker_connections = 20
process._Process = Small
standalone.main({}, sys.argv[1])
"""


@pytest.fixture(scope="module")
def hasty(project, tmp_path_factory):
    """The same server with less patience: it is not seconds that are tried here."""
    with standalone(project, tmp_path_factory.mktemp("hasty"), program=["-c", HASTY]) as made:
        yield made


@pytest.fixture(scope="module")
def small(project, tmp_path_factory):
    """The same server with room for twenty connections."""
    with standalone(project, tmp_path_factory.mktemp("small"), program=["-c", SMALL]) as made:
        yield made


@pytest.mark.parametrize(
    "sent",
    [
        "GET /authors HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        head("POST", "/authors", "Content-Type: application/json", "Content-Length: 100") + "{",
        head("POST", "/authors", "Content-Type: application/json", "Content-Length: 100000") + "{",
        head("POST", "/authors", *CHUNKED) + "5\r\n{",
    ],
    ids=["head", "body", "large body", "chunks"],
)
def test_who_is_too_slow_is_told(hasty, sent):
    sent = sent.replace("Host: x\r\n", f"Host: x\r\n{ORIGIN}\r\n", 1)
    assert spoken(talk(hasty.url, sent, seconds=15), 408)["message"] == "The request did not arrive in time"


def test_where_there_is_no_room_who_has_been_slow_for_longest_is_told(small):
    waiting = []
    try:
        for _ in range(21):
            connection = socket.create_connection(("127.0.0.1", small.port), timeout=15)
            connection.sendall(b"GET /authors HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            waiting.append(connection)
        answer = b"".join(iter(lambda: waiting[0].recv(65536), b""))
    finally:
        for connection in waiting:
            connection.close()
    top, _, body = answer.partition(b"\r\n\r\n")
    assert top.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nRetry-After: 1\r\n" in top
    assert b"\r\nAccess-Control-Allow-Origin: *\r\n" in top
    assert json.loads(body)["message"]
