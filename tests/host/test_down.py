"""Stopping an installation: its projects' containers, whatever they do, and which of them are to be started again."""

from __future__ import annotations

import secrets

import pytest

from config.settings import load
from infra.host import compose, docker_cli
from infra.instances.containers import shape
from scripts.stack import start
from scripts.stack.stack import Stack
from tests.fixtures.servers import wait_until

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("images")]  # which bring the base
IMAGE = "debian:trixie-slim"


@pytest.fixture
def there(tmp_path):
    """An installation of which nothing runs but three projects: one well, one that dies again and again, one paused."""
    name, home = f"ldbtest-{secrets.token_hex(4)}", tmp_path / "home"
    (home / "run").mkdir(parents=True)
    (tmp_path / "compose.yaml").write_text(f"version: '2.4'\nservices: {{one: {{image: '{IMAGE}'}}}}\n")
    (home / ".env").write_text("")
    found = Stack(
        home,
        load({"LAUNCHDB_HOME": str(home)}, recall=False),
        compose.find(tmp_path / "compose.yaml", home / ".env", project=name),
    )
    label = f"{shape.INSTALLATION}={shape.installation_label(home)}"
    for kind, command in (("well", "sleep 1000"), ("dying", "exit 1"), ("paused", "sleep 1000")):
        docker_cli.run_docker(
            "run", "--detach", "--init", "--network", "none", "--restart", "unless-stopped", "--stop-timeout", "1", "--label", label,
            "--name", f"{name}-{kind}", IMAGE, "sh", "-c", command,
        )  # fmt: skip
    docker_cli.run_docker("pause", f"{name}-paused")
    yield found
    docker_cli.run_docker("rm", "--force", *(one.name for one in found.projects()))


def states(there) -> dict[str, str]:
    return {one.name.rpartition("-")[2]: one.state for one in there.projects()}


def test_all_of_them_stop_and_start_again_also_after_a_stop_that_was_cut_short(there):
    wait_until(lambda: states(there)["dying"] == "restarting", seconds=30)
    (there.home / start.STOPPED).write_text("postgrest-stopped-before\n")
    assert start.take_down(there, lambda _line: None) is True
    assert set(states(there).values()) == {"exited"}
    assert len((there.home / start.STOPPED).read_text().split()) == 4
    assert start.take_down(there, lambda _line: None) is False
    start.start_projects(there, lambda _line: None)
    assert (states(there)["well"], states(there)["paused"]) == ("running", "running")
    assert not (there.home / start.STOPPED).exists()
