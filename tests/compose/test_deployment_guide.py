"""docs/deployment.md and docs/manager-api.md as an operator follows them: every command in them is run."""

from __future__ import annotations

import re
import subprocess

import pytest

from config.settings import CHECKOUT
from scripts.stack import edge
from tests.fixtures.installation import DOMAIN

pytestmark = pytest.mark.docker

GUIDE = (CHECKOUT / "docs" / "deployment.md").read_text()
MANAGER = (CHECKOUT / "docs" / "manager-api.md").read_text()
# The installer changes the whole machine: its own tests run it.
ELSEWHERE = {"Install", "Update and rollback"}


def blocks(page: str) -> list[tuple[str, str]]:
    """The page's shell blocks, each with the heading that it stands under."""
    found = []
    for section in re.split(r"^#+ ", page, flags=re.MULTILINE):
        heading = section.partition("\n")[0]
        found += [(heading, block) for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL)]
    return found


class Shell:
    """An operator's shell on the server: `launchdb` on its path, the guide's places where the test has them."""

    def __init__(self, installation, folder) -> None:
        self.installation = installation
        self.folder = folder
        (folder / "launchdb").symlink_to(installation.clone / "scripts" / "launchdb")
        (folder / "authority.pem").write_text(edge.authority(installation.settings))

    def run(self, commands: str) -> subprocess.CompletedProcess[str]:
        here = self.installation
        port = here.settings.https_port
        commands = commands.replace("DOMAIN=db.example.org ACME_EMAIL=you@example.org ", "")
        commands = commands.replace("cd /opt/launchdb\n", f"cd {here.clone}\n").replace("/opt/launchdb", str(here.home))
        commands = commands.replace(
            "curl -fsS https://db.example.org",
            f"curl -fsS --cacert {self.folder}/authority.pem --resolve {DOMAIN}:{port}:127.0.0.1 https://{DOMAIN}:{port}",
        )
        path = f"{self.folder}:{here.environment['PATH']}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=here.clone,
            env={**here.environment, "PATH": path},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done


@pytest.fixture(scope="module")
def shell(installation, tmp_path_factory):
    return Shell(installation, tmp_path_factory.mktemp("bin"))


@pytest.mark.parametrize(("heading", "block"), [pair for pair in blocks(GUIDE) if pair[0] not in ELSEWHERE])
def test_the_guide_s_commands_do_what_it_says(shell, heading, block):
    shell.run(block)
    assert shell.installation.rows().status_code == 200


@pytest.mark.parametrize(("heading", "block"), blocks(MANAGER))
def test_the_manager_answers_as_its_page_says(shell, heading, block):
    assert shell.run(block).stdout.lstrip().startswith("{")


@pytest.mark.parametrize(
    ("words", "shows"),
    [
        ("docker exec launchdb-pgbouncer cat /etc/pgbouncer/pgbouncer.ini", r"(?m)^\[databases\]$"),
        ("docker exec launchdb-pgbouncer kill -HUP 1", ""),
        ("docker exec launchdb-backup ls /backups", ""),
    ],
)
def test_paths_and_commands_that_everybody_knows_work(shell, words, shows):
    assert re.search(shows, shell.run(words).stdout)
