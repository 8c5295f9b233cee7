"""The host commands on a machine without Python: in their image, with the machine's own folders."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from config.installation import parse
from config.settings import CHECKOUT
from infra.host.home import LAUNCHDB

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("images")]
NAMES = ("PATH", "HOME", "DOCKER_HOST", "LAUNCHDB_VERSION")


@pytest.fixture
def launchdb(folder):
    def run(*words, **environment):
        known = {name: os.environ[name] for name in NAMES if name in os.environ}
        return subprocess.run(
            [CHECKOUT / "scripts" / "launchdb", *words],
            env={**known, "LAUNCHDB_HOST_IMAGE": "yes", "LAUNCHDB_HOME": str(folder / "home"), **environment},
            cwd=folder, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    return run


def test_a_home_is_made_on_the_machine_and_so_is_the_copy_of_its_secrets(launchdb, folder):
    configurations, home = folder / "configurations", folder / "home"
    done = launchdb(
        "init", DOMAIN="db.launchdb.test", ACME_EMAIL="a@launchdb.test", HOST_CONFIG_DIR=str(configurations)
    )
    assert done.returncode == 0, done.stderr
    said = parse((home / ".env").read_text())
    assert (said["DOMAIN"], said["HOST_CONFIG_DIR"]) == ("db.launchdb.test", str(configurations))
    assert said["HOST_SCRIPT_DIR"] == str(CHECKOUT / "scripts")
    assert {path.stat().st_uid for path in (configurations, home / "secrets", home / ".env")} == {LAUNCHDB}
    copies = [
        path for path in Path("/root").glob("launchdb-secrets-*.txt") if said["INTERNAL_API_KEY"] in path.read_text()
    ]
    assert [path.stat().st_mode & 0o777 for path in copies] == [0o400]
    copies[0].unlink()
    # Somewhere else next time: where one stands.
    (home / "secrets").rename(folder / "gone")
    (home / ".env").unlink()
    assert launchdb("init", "--copy-to", ".").returncode == 0
    assert len(list(folder.glob("launchdb-secrets-*.txt"))) == 1


def test_the_doctor_looks_at_the_machine(launchdb):
    found = {one["check"]: one for one in json.loads(launchdb("doctor", "host", "--json").stdout)["findings"]}
    assert found["host.os"]["evidence"].startswith(parse(Path("/etc/os-release").read_text())["PRETTY_NAME"])
