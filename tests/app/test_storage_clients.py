"""Storage as apps use it: by the official clients, unmodified, on a project that was just made."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
from supabase import ClientOptions, StorageException, create_client

from tests.app.storage.pictures import picture, seen
from tests.app.test_project_acceptance import place  # noqa: F401 - a fixture
from tests.fixtures.npm import installed

TEXT = {"content-type": "text/plain"}


@pytest.fixture(scope="module")
def shop(place):  # noqa: F811 - a fixture
    return place.project("files")


@pytest.fixture
def client(shop, place):  # noqa: F811 - a fixture
    """Make clients with one of the project's keys."""
    opened = []

    def make(key):
        opened.append(httpx.Client(timeout=90))  # the machine may be busy
        options = ClientOptions(auto_refresh_token=False, httpx_client=opened[-1])
        return create_client(f"{place.url}/project/{shop.id}", key, options).storage

    yield make
    for each in opened:
        each.close()


def test_the_client_for_python_stores_finds_signs_and_removes(client, shop):
    service, visitor = client(shop.service), client(shop.anon)
    service.create_bucket("py", options={"public": False, "file_size_limit": 1_000_000})
    assert [bucket.name for bucket in service.list_buckets()] == ["py"]
    files = service.from_("py")
    files.upload("a/hello.txt", b"hello", {**TEXT, "cache-control": "60"})
    with pytest.raises(StorageException, match="already exists"):
        files.upload("a/hello.txt", b"other", TEXT)
    files.upload("a/hello.txt", b"hello again", {**TEXT, "upsert": "true"})
    files.upload("a/p.png", picture("png"), {"content-type": "image/png"})
    assert [entry["name"] for entry in files.list("a")] == ["hello.txt", "p.png"]
    assert files.download("a/hello.txt") == b"hello again"
    assert files.info("a/hello.txt")["size"] == 11
    assert seen(files.download("a/p.png", {"transform": {"width": 6, "height": 6}})) == ("pngload", 6, 6)
    files.copy("a/hello.txt", "b.txt")
    files.move("b.txt", "c/d.txt")
    assert (files.exists("c/d.txt"), files.exists("b.txt")) == (True, False)
    signed = files.create_signed_url("a/hello.txt", 60, {"download": True})["signedURL"]
    answer = httpx.get(signed, timeout=60)
    assert (answer.text, answer.headers["Content-Disposition"]) == ("hello again", "attachment;")
    token = files.create_signed_upload_url("up.txt")["token"]
    visitor.from_("py").upload_to_signed_url("up.txt", token, b"signed", TEXT)
    with pytest.raises(StorageException):
        visitor.from_("py").download("up.txt")
    assert visitor.from_("py").list() == []
    service.update_bucket("py", {"public": True})
    assert httpx.get(visitor.from_("py").get_public_url("up.txt").rstrip("?"), timeout=60).content == b"signed"
    assert len(files.remove(["a/hello.txt", "c/d.txt", "none"])) == 2
    service.empty_bucket("py")
    service.delete_bucket("py")
    assert service.list_buckets() == []


@pytest.mark.node
def test_the_client_for_javascript_does_the_same(shop, place, tmp_path):  # noqa: F811 - a fixture
    program = shutil.copy(Path(__file__).parent / "storage_client.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(installed("@supabase/supabase-js", "2.109.0") / "node_modules")
    given = {
        "url": f"{place.url}/project/{shop.id}", "anon": shop.anon, "service": shop.service,
        "picture": base64.b64encode(picture("png")).decode(),
    }  # fmt: skip
    done = subprocess.run(
        ["node", program, json.dumps(given)], capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "twice": "409", "wrong": "415", "listed": ["p.png", "hello.txt"], "text": "hello again", "size": 11, "by": {},
        "there": [True, False], "many": [True, False], "hidden": True, "removed": 4,
        "signed": ["hello again", "attachment; filename=x.txt; filename*=UTF-8''x.txt"],
        "rendered": [200, "image/png", "height:5,width:5,resizing_type:fill"],
    }  # fmt: skip
