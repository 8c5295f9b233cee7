"""One command to an answering project: `launchdb up`, and `scripts/run` in an empty checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import httpx
import psycopg
import pytest

from config.settings import CHECKOUT
from infra.embedded import launch
from scripts.cli.installation import verify
from scripts.stack import verify as trials


def command(home, *words: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*words],
        env=home.environment,
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def launchdb(home, *words: str) -> subprocess.CompletedProcess[str]:
    return command(home, sys.executable, "-m", "scripts.cli", *words)


@pytest.fixture
def installation(make_home):
    """A home whose Procfile is the real one, stopped in the end."""
    home = make_home(LAUNCHDB_PROCFILE=str(CHECKOUT / "Procfile"))
    yield home
    launch.stop(home.settings)


def assert_demo_answers(operator: dict[str, str]) -> None:
    key = operator["anonKey"]
    headers = {"apikey": key, "Authorization": f"Bearer {key}"}
    rows = httpx.get(f"{operator['projectUrl'].rstrip('/')}/rest/v1/todos?select=title", headers=headers).json()
    assert {"title": "try LaunchDB"} in rows
    with psycopg.connect(operator["databaseUrl"]) as connection:
        assert connection.execute("SELECT count(*) FROM todos").fetchone() == (len(rows),)


@pytest.mark.timing
def test_one_command_leads_to_an_answering_project_and_again_to_the_same(installation):
    first = launchdb(installation, "up", "--detach")
    assert first.returncode == 0, first.stderr
    path = installation.path / "operator.json"
    operator = json.loads(path.read_text())
    assert path.stat().st_mode & 0o777 == 0o600
    assert_demo_answers(operator)
    assert "read it back with the public key" in first.stderr

    assert launchdb(installation, "up", "--detach").stderr.count("already runs") == 1
    uri = launchdb(installation, "db", "dsn", operator["projectId"]).stdout.strip()
    with psycopg.connect(uri) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == (operator["projectId"],)

    assert json.loads(launchdb(installation, "down", "--json").stdout)["stopped"]
    began = time.monotonic()
    second = launchdb(installation, "up", "--detach", "--json")
    assert second.returncode == 0, second.stderr
    assert time.monotonic() - began < 10
    assert json.loads(second.stdout) == operator
    assert_demo_answers(operator)

    # What was rotated meanwhile stands in the file after the next start, and keys that stand there work.
    for secret in ("databasePassword", "jwtSecret"):
        rotated = launchdb(installation, "projects", "rotate", "demo", "--secret", secret)
        assert rotated.returncode == 0, rotated.stderr
    launchdb(installation, "down")
    assert launchdb(installation, "up", "--detach").returncode == 0
    fresh = json.loads(path.read_text())
    assert {name for name in fresh if fresh[name] != operator[name]} == {"anonKey", "serviceRoleKey", "databaseUrl"}
    assert_demo_answers(fresh)


def test_the_verification_passes_and_one_that_fails_leaves_nothing_either(installation, monkeypatch):
    assert launchdb(installation, "up", "--detach").returncode == 0
    done = json.loads(launchdb(installation, "verify", "--json").stdout)["steps"]
    assert {step["outcome"] for step in done} == {"passed"}, done

    def broken(_trial):
        raise trials.VerificationFailed("it is broken")

    for at in ("and signs in", "rows are written and read"):
        steps = [(title, broken if title == at else act) for title, act in trials.STEPS]
        with monkeypatch.context() as patched:
            patched.setattr(trials, "STEPS", tuple(steps))
            trial = verify.embedded_trial(installation.settings)
            done = verify.run_steps(trial)
            trial.http.close()
        outcomes = {step.step: step.outcome for step in done}
        assert outcomes[at] == "failed"
        assert (outcomes["it is deleted"], outcomes["cleaned up"]) == ("skipped", "passed"), done
        assert trial.leftovers(trial.project) == []
        owners = json.loads(launchdb(installation, "owners", "list", "--json").stdout)["owners"]
        assert trial.email not in [owner["email"] for owner in owners]


def test_a_home_with_a_long_name_and_any_letters_in_it_serves(make_home, tmp_path):
    odd = tmp_path / "Zwei Wörter, 'Zeichen' & 100 %" / ("lang" * 25)
    odd.mkdir(parents=True)
    for folder in (odd, odd.parent):
        folder.chmod(0o711)
    home = make_home(odd, LAUNCHDB_PROCFILE=str(CHECKOUT / "Procfile"))
    try:
        started = launchdb(home, "up", "--detach")
        assert started.returncode == 0, started.stderr
        assert_demo_answers(json.loads((home.path / "operator.json").read_text()))
    finally:
        launch.stop(home.settings)


@pytest.mark.timing
@pytest.mark.full
def test_an_empty_checkout_reaches_an_answering_project_by_scripts_run(make_home, tmp_path):
    home = make_home(HOME=os.environ.get("HOME", "/"))
    del home.environment["LAUNCHDB_PROCFILE"]
    checkout = tmp_path / "a checkout"
    subprocess.run(["git", "clone", "--quiet", CHECKOUT, checkout], check=True)
    try:
        first = command(home, str(checkout / "scripts" / "run"), "--detach", seconds=300)
        assert first.returncode == 0, first.stderr
        assert_demo_answers(json.loads((home.path / "operator.json").read_text()))
        assert "stopped" in command(home, str(checkout / ".venv" / "bin" / "launchdb"), "down").stdout
        began = time.monotonic()
        assert command(home, str(checkout / "scripts" / "run"), "--detach").returncode == 0
        assert time.monotonic() - began < 10
    finally:
        launch.stop(home.settings)
