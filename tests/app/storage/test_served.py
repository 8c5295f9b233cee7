"""Files over a real server: as its clients send them, in one piece or in many, and what is left where one breaks off."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import urllib.parse
from pathlib import Path

import httpx
import pytest

from scripts.bench.figures import tree
from tests.app.server import served
from tests.app.test_lifecycle import project  # noqa: F401 - a fixture
from tests.fixtures.servers import wait_until

SIZE, MB = 9_000_000, 1024 * 1024
MEMORY_MB = 150


@pytest.fixture
def server(settings):
    """A server that serves all: its URL."""
    with served(settings, "all") as url:
        yield url


@pytest.fixture
def shop(owner, project, settings, server):  # noqa: F811 - a fixture
    """A client of a project's Storage, and the folder of its files."""
    keys, project_id = owner.get(f"{project}/connection").json(), project.rpartition("/")[2]
    headers = {"Authorization": f"Bearer {keys['serviceRoleKey']}"}
    base = f"{server}/project/{project_id}/storage/v1"
    with httpx.Client(base_url=base, headers=headers, timeout=60) as client:
        assert client.post("/bucket", json={"name": "b"}).status_code == 200
        yield client, settings.files_folder / project_id


def sent_by_hand(client, path, *lines, body=b""):
    """Send a request and whatever of its body, and leave."""
    url = urllib.parse.urlsplit(str(client.base_url))
    head = [
        f"POST {url.path.rstrip('/')}{path} HTTP/1.1",
        "Host: x",
        f"Authorization: {client.headers['Authorization']}",
        *lines,
    ]
    with socket.create_connection((url.hostname, url.port), timeout=10) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode() + body)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            continue


def test_a_large_file_comes_and_goes_whole_however_it_is_sent_and_is_never_in_memory(shop, server):
    client, folder = shop
    content = os.urandom(SIZE)
    pieces = (content[at : at + 100_000] for at in range(0, SIZE, 100_000))
    for name, more in (
        ("whole", {"content": content}),
        ("chunked", {"content": pieces}),
        ("form", {"files": {"file": ("f", content, "image/png")}, "data": {"cacheControl": "60"}}),
        ("announced", {"content": content, "headers": {"Expect": "100-continue"}}),
    ):
        assert client.post(f"/object/b/{name}", **more).status_code == 200, name
        found = client.get(f"/object/b/{name}")
        assert found.content == content, name
        part = client.get(f"/object/b/{name}", headers={"Range": f"bytes=70000-{SIZE - 5}"})
        assert (part.status_code, part.content) == (206, content[70_000 : SIZE - 4])
        assert client.head(f"/object/b/{name}").headers["Content-Length"] == str(SIZE)
    # A client that leaves in the middle has stored nothing, and what it has sent does not stay.
    length = ("Content-Type: text/plain", f"Content-Length: {SIZE}")
    sent_by_hand(client, "/object/b/broken", *length, body=content[:1_000_000])
    sent_by_hand(client, "/object/b/broken", "Transfer-Encoding: chunked", body=b"100000\r\n" + content[:500_000])
    wait_until(lambda: not list((folder / "incoming").iterdir()), seconds=30)
    assert client.get("/object/b/broken").json()["error"] == "not_found"
    assert len([path for path in (folder / "objects").rglob("*") if path.is_file()]) == 4
    stored_and_read(client, 49)
    assert most_memory(server.pid) < MEMORY_MB


def most_memory(pid):
    """The largest that a process or any that it has started has been, in MB."""
    sizes = [re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{each}/status").read_text()) for each in tree(pid)]
    return max(int(size[1]) for size in sizes if size) / 1024


def stored_and_read(client, megabytes):
    """Store a file that is made while it is sent, and read it back."""
    size, pieces = megabytes * MB, [os.urandom(MB) for _ in range(7)]
    content, expected, found = (pieces[number % 7] for number in range(megabytes)), hashlib.sha256(), hashlib.sha256()
    headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
    stored = client.post("/object/b/huge", content=content, headers=headers)
    assert stored.status_code == 200, stored.text
    with client.stream("GET", "/object/b/huge") as answer:
        assert int(answer.headers["Content-Length"]) == size
        for part in answer.iter_raw(MB):
            found.update(part)
    for number in range(megabytes):
        expected.update(pieces[number % 7])
    assert found.digest() == expected.digest()


@pytest.mark.full
def test_a_process_does_not_grow_with_the_files_that_it_takes_and_sends(shop, server, owner, project, engine):  # noqa: F811
    assert owner.patch(f"{project}/settings", json={"fileBytes": 4096 * MB}).status_code == 202
    engine.runner.drain()
    stored_and_read(shop[0], 2048)
    assert most_memory(server.pid) < MEMORY_MB
