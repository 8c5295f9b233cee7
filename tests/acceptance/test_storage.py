"""Storage as apps use it: by the official clients, unmodified, on a project that was just made."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from supabase import ClientOptions, StorageException, create_client

from tests.app.server import free_port
from tests.app.storage.pictures import picture, seen
from tests.fixtures import browser
from tests.fixtures.npm import installed

HERE, MB = Path(__file__).parent, 1024 * 1024
TEXT = {"content-type": "text/plain"}
OWN = """
CREATE POLICY own ON storage.objects TO authenticated
    USING (bucket_id = 'films' AND (storage.foldername(name))[1] = 'me' AND owner_id = (SELECT auth.uid()::text))
    WITH CHECK (bucket_id = 'films' AND (storage.foldername(name))[1] = 'me');
"""


@pytest.fixture(scope="module")
def shop(place):
    """A project whose users' addresses count as confirmed."""
    with place.project("files", autoconfirm=True) as project:
        yield project


@pytest.fixture
def client(shop):
    """Make clients with one of the project's keys."""

    def make(key):
        options = ClientOptions(auto_refresh_token=False, httpx_client=shop.client())
        return create_client(shop.url, key, options).storage

    return make


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
    answer = shop.http.get(signed)
    assert (answer.text, answer.headers["Content-Disposition"]) == ("hello again", "attachment;")
    token = files.create_signed_upload_url("up.txt")["token"]
    visitor.from_("py").upload_to_signed_url("up.txt", token, b"signed", TEXT)
    with pytest.raises(StorageException):
        visitor.from_("py").download("up.txt")
    assert visitor.from_("py").list() == []
    service.update_bucket("py", {"public": True})
    assert shop.http.get(visitor.from_("py").get_public_url("up.txt").rstrip("?")).content == b"signed"
    assert len(files.remove(["a/hello.txt", "c/d.txt", "none"])) == 2
    service.empty_bucket("py")
    service.delete_bucket("py")
    assert service.list_buckets() == []


@pytest.mark.node
def test_the_client_for_javascript_does_the_same(shop, place, tmp_path):
    program = shutil.copy(HERE / "storage_client.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(installed("@supabase/supabase-js", "2.109.0") / "node_modules")
    given = {
        "url": shop.url, "anon": shop.anon, "service": shop.service, "picture": base64.b64encode(picture("png")).decode(),
    }  # fmt: skip
    assert json.loads(place.run("node", program, json.dumps(given), env=os.environ, cwd=tmp_path)) == {
        "twice": "409", "wrong": "415", "listed": ["p.png", "hello.txt"], "text": "hello again", "size": 11, "by": {},
        "there": [True, False], "many": [True, False], "hidden": True, "removed": 4,
        "signed": ["hello again", "attachment; filename=x.txt; filename*=UTF-8''x.txt"],
        "rendered": [200, "image/png", "height:5,width:5,resizing_type:fill"],
    }  # fmt: skip


def test_a_file_may_be_larger_than_any_other_body(client, shop):
    """What else comes in is bounded much lower, at the edge as well."""
    files, content = client(shop.service), os.urandom(24 * MB)
    files.create_bucket("large", options={"public": False})
    files.from_("large").upload("large.bin", content, {"content-type": "application/octet-stream"})
    assert hashlib.sha256(files.from_("large").download("large.bin")).digest() == hashlib.sha256(content).digest()
    with pytest.raises(StorageException, match="exceeded the maximum"):
        files.from_("large").upload("larger.bin", bytes(51 * MB), {"content-type": "application/octet-stream"})


@pytest.mark.node
def test_an_upload_of_a_browser_goes_on_after_the_service_was_killed(shop, place, tmp_path):
    shop.sql(OWN)
    service = {"apikey": shop.service, "Authorization": f"Bearer {shop.service}"}
    answer = shop.http.post(f"{shop.url}/storage/v1/bucket", json={"name": "films", "public": False}, headers=service)
    assert answer.status_code == 200, answer.text
    browser.provide(tmp_path)
    program = shutil.copy(HERE / "upload_browser.mjs", tmp_path)
    given = {
        "url": shop.url, "token": shop.user("ann@example.com", "a horse that nobody staples"), "bucket": "films",
        "size": 20 * MB, "port": free_port(), **browser.given(tmp_path), "options": place.browser_options,
        "script": str(browser.upload_script()),
    }  # fmt: skip
    with place.begin("node", program, json.dumps(given), env=os.environ, cwd=tmp_path) as page:
        try:
            first = page.stdout.readline()
            assert first, page.stderr.read()
            assert 13 * MB < json.loads(first)["sent"] < 20 * MB
            place.kill_storage()
            out, err = page.communicate(timeout=240)
        finally:
            page.kill()
    assert page.returncode == 0, err
    ended = json.loads(out.splitlines()[-1])
    found = shop.http.get(f"{shop.url}/storage/v1/object/films/me/film.mp4", headers=service)
    assert found.headers["Content-Type"] == "video/mp4"
    assert hashlib.sha256(found.content).hexdigest() == ended["sha256"]
    asked = ended["requests"]
    assert [method for method, _offset in asked].count("POST") == 1, "it was begun once"
    assert "HEAD" in [method for method, _offset in asked], "it asked how far it was"
    resumed = [int(offset) for method, offset in asked if method == "PATCH"]
    assert resumed == sorted(resumed), "what had come was not sent again from its beginning"
    assert resumed[-1] >= 12 * MB
