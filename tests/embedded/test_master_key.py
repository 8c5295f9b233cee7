"""The master key that an installation began with is the only one it starts with."""

from __future__ import annotations

import os
import subprocess
import sys

import psycopg
import pytest

from config.settings import CHECKOUT
from infra.secrets import secretfiles

KEY = "LAUNCHDB_MASTER_KEY"


def written(home) -> dict[str, str]:
    files = [path for path in (home.path / "secrets").iterdir() if path.is_file()]
    return {path.name: path.read_text() for path in (*files, home.path / ".env", home.path / "state.json")}


def test_another_empty_or_missing_master_key_stops_the_start_and_the_right_one_mends_it(home):
    home.stop(home.start())
    file = home.path / "secrets" / KEY
    right = file.read_text()

    file.write_text(secretfiles.generate(secretfiles.KEY))
    assert "master key" in home.refusal()
    file.write_text("")
    assert f"{KEY} is missing" in home.refusal()
    file.unlink()
    before = written(home)
    assert f"{KEY} is gone" in home.refusal()
    assert written(home) == before

    file.write_text(right)
    file.chmod(0o600)
    home.stop(home.start())


@pytest.mark.parametrize("service", [("serve", "all"), ("worker",), ("scheduler",)])
def test_no_service_starts_with_another_master_key_or_open_secrets(home, service):
    home.start()
    file = home.path / "secrets" / KEY
    right = file.read_text()

    def refusal() -> str:
        environment = {"PATH": os.environ["PATH"], "LAUNCHDB_HOME": str(home.path)}
        command = [sys.executable, "-m", "scripts.cli", *service]
        ended = subprocess.run(
            command, env=environment, cwd=CHECKOUT, capture_output=True, text=True, timeout=30, check=False
        )
        assert ended.returncode == 1, ended.stderr
        assert "Traceback" not in ended.stderr
        return ended.stderr

    file.write_text(secretfiles.generate(secretfiles.KEY))
    assert "master key" in refusal()
    file.write_text(right)
    file.chmod(0o644)
    assert f"{KEY} can be read by others" in refusal()
    with psycopg.connect(home.settings.database_url) as connection:
        assert connection.execute("SELECT count(*) FROM workers").fetchone() == (0,)
