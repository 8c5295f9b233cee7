"""docs/auth.md as a new user follows it: every command in it is run as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from config.settings import CHECKOUT
from infra.embedded import launch
from tests.embedded.test_backup_guide import Guide

PAGE = (CHECKOUT / "docs" / "auth.md").read_text()
COMMANDS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def guide(make_home, tmp_path):
    """A home that runs, and a shell for the page's commands."""
    home = make_home(LAUNCHDB_PROCFILE=str(CHECKOUT / "Procfile"))
    made = Guide(home, tmp_path)
    try:
        subprocess.run(
            [sys.executable, "-m", "scripts.cli", "up", "--detach"],
            env={**home.environment, "PATH": os.environ["PATH"]},
            cwd=CHECKOUT,
            check=True,
            capture_output=True,
        )
        yield made
    finally:
        launch.stop(home.settings)


def test_the_pages_commands_sign_somebody_up_write_to_them_and_see_to_them(guide):
    said = guide.run("\n".join(COMMANDS)).stdout
    assert '[{"id":1,"body":"mine"}][]' in said
    assert "bob@example.com" in said
    assert "/auth/v1/verify?" in said
    assert "bob@example.com was deleted" in said
