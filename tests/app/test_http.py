"""What only a real server and a bare socket can show."""

from __future__ import annotations

import json
import socket
import time
import urllib.parse
from contextlib import suppress

import httpx
import pytest

from app import manager
from tests.app.server import served

HOST = "Host: x\r\n"
CHUNK = f"{65536:x}\r\n{'a' * 65536}\r\n"


def talk(url, text, *, seconds=5.0, half_closed=False):
    """Send bytes as they are, and none after them where half closed; return status, headers and body of the answer."""
    parts = urllib.parse.urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=seconds) as connection:
        with suppress(OSError):  # the answer may come before the end of the request
            connection.sendall(text.encode("latin-1"))
            if half_closed:
                connection.shutdown(socket.SHUT_WR)
        raw = b""
        try:
            while chunk := connection.recv(65536):
                raw += chunk
                head, _, body = raw.partition(b"\r\n\r\n")
                length = next((int(v) for n, v in _headers(head).items() if n == "content-length"), None)
                if length is not None and len(body) >= length:
                    break
        except OSError:
            pass
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head, "no answer"
    return int(head.split(b" ", 2)[1]), _headers(head), body


def _headers(head):
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def head(method, path, *headers):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *headers]) + "\r\n\r\n"


def rows(auth):
    """What is sent, and which answers are right."""
    fields = [f"X-{number}: y" for number in range(500)]
    as_json = (auth, "Content-Type: application/json")
    chunked = (*as_json, "Transfer-Encoding: chunked")
    return [
        (head("GET", "/api/health", "X: " + "a" * 65536), {400, 431}),
        (head("GET", "/api/health", *fields), {400, 431}),
        (head("POST", "/api/projects", *as_json, "Content-Length: 1", "Content-Length: 2") + "{}", {400}),
        (head("POST", "/api/projects", *as_json, "Transfer-Encoding: xchunked"), {400, 501}),
        (head("POST", "/api/projects", *as_json, "Content-Length: 99999999"), {413}),
        (head("POST", "/api/projects", *chunked) + CHUNK * 20 + "0\r\n\r\n", {413}),
        (head("POST", "/api/projects", *chunked) + "zz\r\n", {400}),
        (head("POST", "/api/projects", *chunked) + "2\r\n{}\r\n0\r\n\r\n", {422}),
        (
            head("POST", "/api/projects", *as_json, "Idempotency-Key: \xe4", "Content-Length: 12") + '{"name":"a"}',
            {400},
        ),
        (head("GET", "/api/projects/" + "a" * 10_000, auth), {404, 414}),
        (head("GET", "/api/projects/proj_\xef\xbc\x91", auth), {400, 404}),
        (head("GET", "/api/projects/proj_%EF%BC%91", auth), {404}),
        (head("GET", "/api/projects/%FF%FE", auth), {400, 404}),
        (head("GET", "/api/projects/..%2f..%2fetc", auth), {404}),
        (head("GET", "/api/projects", "Authorization: Bearer " + "a" * 100_000), {400, 401, 431}),
        (head("GET", "/api/projects", "Authorization: Bearer \xff"), {400, 401}),
        ("hello\r\n\r\n", {400}),
    ]


@pytest.mark.timing
def test_requests_that_are_no_good_http_are_refused_as_problems(town, settings):
    auth = f"Authorization: {town.owner().client.headers['Authorization']}"
    with served(settings) as url:
        for text, statuses in rows(auth):
            started = time.monotonic()
            status, headers, body = talk(url, text)
            assert status in statuses, (status, text[:100], body[:200])
            assert headers["content-type"] == "application/problem+json", text[:100]
            assert json.loads(body)["requestId"] == headers["x-request-id"]
            assert time.monotonic() - started < 2
        evil = httpx.get(f"{url}/api/health", headers={"X-Forwarded-Host": "evil.example", "X-Request-Id": b"\xff"})
        assert "evil" not in evil.text + str(evil.headers)
        assert len(evil.headers["X-Request-Id"]) == 32
        transport = httpx.HTTPTransport(uds=str(settings.run_folder / "api" / "internal.sock"))
        with httpx.Client(transport=transport, base_url="http://internal") as internal:
            assert "launchdb_http_requests_total" in internal.get("/metrics").text
        # On a server, the manager hands it on to whoever asks on the machine itself.
        told = manager.create(settings, town.infra).test_client()
        assert "launchdb_http_requests_total" in told.get("/metrics").text
        assert told.get("/metrics").mimetype == "text/plain"
        assert httpx.get(f"{url}/metrics").status_code == 404
    assert told.get("/metrics").status_code == 503
    assert town.rows("SELECT id FROM projects") == []
    log = (settings.home / "api.log").read_text()
    assert "Traceback" not in log
    assert town.owner().client.headers["Authorization"].split(".")[1] not in log
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    access = [line for line in lines if line.get("event") == "request"]
    # Whoever looks every few seconds whether somebody is there pushes no other line out.
    assert "/api/health" not in {line["route"] for line in access}
    assert {"request_id", "method", "route", "status", "ms", "address"} <= set(access[0])


@pytest.mark.timing
@pytest.mark.full
def test_idle_streams_leave_room_for_others(town, settings):
    owner = town.owner()
    job = owner.project()["currentJob"]
    auth = {"Authorization": owner.client.headers["Authorization"]}
    with served(settings, LAUNCHDB_EVENT_STREAMS="16") as url, httpx.Client(headers=auth, timeout=5) as client:
        streams = []
        for _ in range(8):
            request = client.build_request("GET", f"{url}/api/jobs/{job}/events")
            streams.append(client.send(request, stream=True))
        assert {stream.status_code for stream in streams} == {200}
        assert client.get(f"{url}/api/jobs/{job}/events").status_code == 503
        started = time.monotonic()
        assert client.get(f"{url}/api/projects").status_code == 200
        assert time.monotonic() - started < 1
        for stream in streams:
            stream.close()
