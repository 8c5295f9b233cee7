"""On the host of containers, commands that need the servers run inside."""

from __future__ import annotations

import pytest

from config import installation
from scripts.cli import inside


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The host's view of an installation in containers."""
    (tmp_path / ".env").write_text("LAUNCHDB_RUNTIME=broker\n")
    for name in ("LAUNCHDB_DATABASE_URL", "LAUNCHDB_URL", "LAUNCHDB_TOKEN", "LAUNCHDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LAUNCHDB_HOME", str(tmp_path))
    return tmp_path


def test_a_command_about_projects_runs_in_the_api_s_container(home):
    argv = inside.forwarded(["projects", "list", "--json"])
    assert argv[:3] == ["docker", "exec", "--interactive"]
    assert argv[-5:] == ["launchdb-platform-api", "launchdb", "projects", "list", "--json"]


@pytest.mark.parametrize(
    "words", ["db inventory", "db dsn", "secrets check", "backups adopt", "backups pull", "backups list --remote"]
)
def test_what_takes_the_administrator_all_secrets_or_docker_is_a_worker_s(home, words):
    argv = inside.forwarded([*words.split(), "--json"])
    assert argv[argv.index("launchdb-worker") :] == ["launchdb-worker", "launchdb", *words.split(), "--json"]


@pytest.mark.parametrize("words", ["db schema", "secrets rotate", "backups create", "backups list", "projects list"])
def test_what_the_api_can_do_is_the_api_s(home, words):
    assert "launchdb-platform-api" in inside.forwarded(words.split())


def test_a_token_goes_along_by_name_alone(home, monkeypatch):
    monkeypatch.setenv("LAUNCHDB_TOKEN", "ldb_canary")
    argv = inside.forwarded(["jobs", "list"])
    assert argv[argv.index("--env") + 1] == "LAUNCHDB_TOKEN"
    assert "ldb_canary" not in " ".join(argv)


@pytest.mark.parametrize("words", [["status"], ["logs", "-f"], ["projects", "list", "--help"], ["--version"], []])
def test_acts_on_the_machine_and_help_stay_on_the_host(home, words):
    assert inside.forwarded(words) is None


def test_inside_a_container_nothing_is_handed_on(home, monkeypatch):
    monkeypatch.setenv("LAUNCHDB_DATABASE_URL", "postgresql://postgres@postgres/platform")
    assert inside.forwarded(["projects", "list"]) is None


def test_whoever_names_a_url_talks_to_it(home, monkeypatch):
    monkeypatch.setenv("LAUNCHDB_URL", "https://db.launchdb.test")
    assert inside.forwarded(["projects", "list"]) is None


def test_an_embedded_home_is_worked_on_here(tmp_path, monkeypatch):
    monkeypatch.setenv("LAUNCHDB_HOME", str(tmp_path))
    assert inside.forwarded(["projects", "list"]) is None


def test_the_home_is_what_the_environment_names(tmp_path):
    assert installation.default_home({"LAUNCHDB_HOME": str(tmp_path)}) == tmp_path
