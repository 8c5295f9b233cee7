"""What Caddy refuses on the paths of projects: in the data API's shape, with CORS headers, whoever would have answered."""

from __future__ import annotations

import json
import socketserver
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from config.limits import URL_BYTES_MAX
from infra.edge import proxy
from infra.edge.proxy import CaddyProxy, Upstreams
from tests.app.data.test_refusals import spoken
from tests.app.server import free_port
from tests.edge.conftest import caddy, edge_settings
from tests.edge.witness import witness

ABSENT = "proj_0123456789abcdef"
ORIGIN = {"Origin": "https://some.example"}
ASKED = {**ORIGIN, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization,x-own"}


class Ends(socketserver.BaseRequestHandler):
    """Reads a request and answers nothing."""

    def handle(self):
        self.request.recv(65536)


@pytest.fixture
def client(edge):
    return edge.client(headers={"apikey": "x.y.z"})


def said(answer, status):
    return spoken(
        (answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, answer.content), status
    )


def granted(answer):
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert {"authorization", "x-own"} <= set(answer.headers["Access-Control-Allow-Headers"].replace(" ", "").split(","))


def url_of(path, size):
    return f"{path}?id=in.({'1' * (size - len(path) - 9)})"


def test_a_url_of_16_kib_reaches_the_data_api(client, project_socket):
    for path in (f"/db/{project_socket}/t", f"/project/{project_socket}/rest/v1/t"):
        below = len(path) - 2  # all but /t
        answer = client.get(url_of(path, URL_BYTES_MAX + below))
        assert (answer.status_code, answer.json()["who"]) == (200, project_socket)
        assert len(answer.json()["uri"]) == URL_BYTES_MAX


@pytest.mark.parametrize("size", [17_000, 60_000])
@pytest.mark.parametrize("place", ["/db/{}/t", "/project/{}/rest/v1/t"])
def test_a_longer_one_is_refused_in_words_that_a_browser_shows(client, project_socket, place, size):
    for project in (project_socket, ABSENT):
        url = url_of(place.format(project), size)
        assert said(client.get(url, headers=ORIGIN), 414)["code"] == "PGRST125"
        assert said(client.post(url, headers=ORIGIN, content=b"[]"), 414)["message"] == "The URL is too long"
        granted(client.options(url, headers=ASKED))


def test_a_url_of_hundreds_of_kilobytes_is_refused_in_words_too(edge, project_socket):
    import socket

    with socket.create_connection(("127.0.0.1", edge.port), timeout=10) as connection:
        target = url_of(f"/db/{project_socket}/t", 900_000)
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: launchdb.test\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 414 ")
    assert b"Access-Control-Allow-Origin: *" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "PGRST125"


@pytest.mark.parametrize("place", [f"/db/{ABSENT}/t", f"/project/{ABSENT}/rest/v1/t", "/db/x/t", f"/project/{ABSENT}/"])
def test_of_a_project_that_is_not_there_clients_hear_so_however_long_they_ask(client, place):
    said(client.get(url_of(place, URL_BYTES_MAX), headers=ORIGIN), 404)
    said(client.get(place, headers={**ORIGIN, **{f"X-{number}": "x" * 1000 for number in range(60)}}), 431)
    said(client.get(place, headers={**ORIGIN, **{f"X-{number}": "x" for number in range(150)}}), 431)
    granted(client.options(url_of(place, URL_BYTES_MAX), headers=ASKED))


def test_a_body_that_is_too_large_is_refused_in_words(client, project_socket):
    answer = client.post(f"/db/{project_socket}/t", content=b"x" * 21 * 1024 * 1024, headers=ORIGIN)
    said(answer, 413)


@pytest.fixture
def lonely(monkeypatch):
    """Caddy before nobody at all, and not patient."""
    monkeypatch.setattr(proxy, "HELD_SECONDS", 1)
    with tempfile.TemporaryDirectory(prefix="ldbr-") as name, ExitStack() as stack:
        settings = edge_settings(Path(name), LAUNCHDB_TLS="off")
        nobody = Upstreams(*[f"127.0.0.1:{free_port()}" for _ in range(3)])
        yield stack.enter_context(caddy(CaddyProxy(settings, nobody), settings, stack, nobody))


def test_where_nobody_is_there_clients_hear_so_and_may_ask_first(lonely):
    client = lonely.client(headers={"apikey": "x.y.z"})
    for place in (f"/db/{ABSENT}/t", f"/project/{ABSENT}/rest/v1/t", f"/project/{ABSENT}/auth/v1/x", "/storage/x"):
        answer = client.get(place, headers=ORIGIN)
        said(answer, 503)
        assert answer.headers["Retry-After"] == "1"
        granted(client.options(place, headers=ASKED))
    answer = client.get("/api/health")
    assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/problem+json")


def test_an_answer_that_breaks_off_is_a_502_in_words(edge, client):
    project = "proj_00000000deadbeef"
    with witness(edge.socket(project), project) as server:
        server.RequestHandlerClass = Ends
        said(client.get(f"/db/{project}/t", headers=ORIGIN), 502)
