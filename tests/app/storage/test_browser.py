"""A person's browser uploads a large file in parts, while the service that takes them is killed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from infra.instances.spec_files import SpecFiles
from infra.instances.storage_files import StorageSpec
from infra.secrets import tokens
from tests.app.server import free_port
from tests.app.test_lifecycle import project  # noqa: F401 - a fixture
from tests.fixtures import browser
from tests.fixtures.forked import CHECKOUT, environment_of
from tests.fixtures.servers import wait_until

MB = 1024 * 1024
OWN = """
CREATE POLICY own ON storage.objects TO authenticated
    USING (bucket_id = 'films' AND (storage.foldername(name))[1] = 'me' AND owner_id = (SELECT auth.uid()::text))
    WITH CHECK (bucket_id = 'films' AND (storage.foldername(name))[1] = 'me');
"""
ANN = "11111111-1111-4111-8111-111111111111"


@contextmanager
def serving(settings, port):
    """Serve everything at a port; give what kills it outright, with all its processes."""
    environment = environment_of(settings, LAUNCHDB_PORT=str(port))
    with (settings.home / "serving.log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "scripts.cli", "serve", "all"],
            cwd=CHECKOUT, env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip

    def kill():
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)

    def answers():
        try:
            return httpx.get(f"http://127.0.0.1:{port}/api/health").status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_until(answers, seconds=90)
        yield kill
    finally:
        if process.poll() is None:
            kill()


def user_token(settings, project_id, url):
    """Have the project be at this URL, and return a token of a user's."""
    files = SpecFiles(settings.storage_specs_folder, StorageSpec)
    spec = replace(files.read(project_id), url=url)
    files.ensure(spec)
    claims = {"role": "authenticated", "sub": ANN, "aud": "authenticated", "exp": 2_000_000_000}
    return tokens.sign_token(claims, spec.jwt_secret)


@pytest.mark.node
def test_an_upload_of_a_browser_goes_on_after_the_service_was_killed(owner, project, settings, tmp_path):  # noqa: F811
    known, project_id, port = owner.get(f"{project}/connection").json(), project.rpartition("/")[2], free_port()
    answer = owner.post(f"{project}/sql", json={"query": OWN})
    assert answer.status_code == 200, answer.text
    base = f"http://127.0.0.1:{port}/project/{project_id}"
    browser.provide(tmp_path)
    program = shutil.copy(Path(__file__).parent / "upload_browser.mjs", tmp_path)
    service = {"Authorization": f"Bearer {known['serviceRoleKey']}"}
    with serving(settings, port) as kill:
        body = {"name": "films", "public": False}
        assert httpx.post(f"{base}/storage/v1/bucket", json=body, headers=service, timeout=60).status_code == 200
        given = {
            "url": base, "token": user_token(settings, project_id, base), "bucket": "films", "size": 20 * MB, "port": free_port(),
            "chromium": str(browser.chromium()), "script": str(browser.upload_script()), "folder": str(tmp_path / "profile"),
        }  # fmt: skip
        page = subprocess.Popen(
            ["node", program, json.dumps(given)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        first = page.stdout.readline()
        assert first, page.stderr.read()
        assert 13 * MB < json.loads(first)["sent"] < 20 * MB
        kill()
    with serving(settings, port):
        out, err = page.communicate(timeout=240)
        assert page.returncode == 0, err
        ended = json.loads(out.splitlines()[-1])
        found = httpx.get(f"{base}/storage/v1/object/films/me/film.mp4", headers=service, timeout=60)
        assert found.headers["Content-Type"] == "video/mp4"
        assert hashlib.sha256(found.content).hexdigest() == ended["sha256"]
    asked = ended["requests"]
    assert [method for method, _offset in asked].count("POST") == 1, "it was begun once"
    assert "HEAD" in [method for method, _offset in asked], "it asked how far it was"
    resumed = [int(offset) for method, offset in asked if method == "PATCH"]
    assert resumed == sorted(resumed), "what had come was not sent again from its beginning"
    assert resumed[-1] >= 12 * MB
