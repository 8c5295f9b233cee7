"""Files over a real server: as its clients send them, in one piece or in many, and what is left where one breaks off."""

from __future__ import annotations

import os
import socket
import urllib.parse

import httpx
import pytest

from tests.app.server import served
from tests.app.test_lifecycle import project  # noqa: F401 - a fixture
from tests.fixtures.servers import wait_until

SIZE = 9_000_000


@pytest.fixture
def shop(owner, project, settings):  # noqa: F811 - a fixture
    """A client of a project's Storage, on a server that serves all; its URL, and its project's id."""
    keys, project_id = owner.get(f"{project}/connection").json(), project.rpartition("/")[2]
    with served(settings, "all") as url:
        headers = {"Authorization": f"Bearer {keys['serviceRoleKey']}"}
        base = f"{url}/project/{project_id}/storage/v1"
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


def test_a_large_file_comes_and_goes_whole_however_it_is_sent(shop):
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
