"""Signing in to a running API, and what the context file holds and guards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import CHECKOUT, PASSWORD


@pytest.fixture
def api(launchdb, unused_port, tmp_path):
    """A running API of that home; returns its URL."""
    environment = {"PATH": os.environ["PATH"], **launchdb.environment}
    with (tmp_path / "api.log").open("w") as log:
        command = [sys.executable, "-m", "scripts.cli", "serve", "all"]
        process = subprocess.Popen(command, cwd=CHECKOUT, env=environment, stderr=log, stdout=log)
    url = f"http://127.0.0.1:{unused_port}"
    deadline = time.monotonic() + 60
    while not answers(url):
        assert process.poll() is None, (tmp_path / "api.log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    yield url
    process.terminate()
    process.wait(30)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/health", timeout=1).is_success
    except httpx.HTTPError:
        return False


@pytest.fixture
def anna(api):
    """An owner who has registered."""
    made = httpx.post(f"{api}/api/auth/register", json={"email": "anna@example.org", "password": PASSWORD}, timeout=30)
    assert made.status_code == 201, made.text
    return made.json()


@pytest.fixture
def context_file(launchdb) -> Path:
    return Path(launchdb.environment["XDG_CONFIG_HOME"]) / "launchdb" / "context.json"


@pytest.fixture
def signed_in(launchdb, api, anna):
    """The command line after a sign-in, with no home to fall back on."""
    done = launchdb.run("login", "--url", api, "--email", "anna@example.org", "--password-stdin", stdin=f"{PASSWORD}\n")
    assert done.code == 0, done.err
    launchdb.environment["LAUNCHDB_HOME"] = "/nonexistent"
    return launchdb


def test_a_sign_in_is_remembered_for_the_user_alone(signed_in, context_file):
    assert context_file.stat().st_mode & 0o777 == 0o600
    assert PASSWORD not in context_file.read_text()
    assert signed_in.run("projects", "list", "--json").json == {"projects": []}


def test_a_wrong_password_signs_nobody_in(launchdb, api, anna, context_file):
    refused = launchdb.run("login", "--url", api, "--email", "anna@example.org", "--password-stdin", stdin="wrong\n")
    assert refused.code == 6
    assert not context_file.exists()


def test_an_access_token_that_has_run_out_is_renewed_and_remembered(signed_in, context_file):
    before = json.loads(context_file.read_text())
    context_file.write_text(json.dumps({**before, "access_token": "run.out.long"}))
    assert signed_in.run("projects", "list").code == 0
    after = json.loads(context_file.read_text())
    assert after["access_token"] != "run.out.long"
    assert after["refresh_token"] != before["refresh_token"]


def test_a_context_that_others_can_read_is_refused(signed_in, context_file):
    context_file.chmod(0o644)
    refused = signed_in.run("projects", "list")
    assert refused.code == 2
    assert "can be read by others" in refused.err


def test_the_tokens_of_one_installation_are_not_sent_to_another(signed_in, unused_port):
    signed_in.environment["LAUNCHDB_URL"] = f"http://localhost:{unused_port}"
    refused = signed_in.run("projects", "list")
    assert refused.code != 0
    assert "nobody is signed in" in refused.err or "no installation" in refused.err or "secret" in refused.err


def test_whoever_reads_the_home_acts_as_operator_over_http_too(launchdb, api, operator):
    launchdb.environment["LAUNCHDB_URL"] = api
    listed = launchdb.run("jobs", "list", "--all", "--json")
    assert listed.code == 0, listed.err
    assert listed.json == {"jobs": []}
    assert "API is down" not in listed.err


def test_who_is_no_operator_is_told_so(signed_in):
    refused = signed_in.run("jobs", "list", "--all")
    assert refused.code == 6
    assert "operators" in refused.err
