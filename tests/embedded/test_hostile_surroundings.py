"""`scripts/run` by a caller whose shell is full of variables that libraries heed, with an odd umask: none of it counts."""

from __future__ import annotations

import json
import subprocess

import httpx
import psycopg
import pytest

from config.settings import CHECKOUT
from infra.embedded import launch
from tests.fixtures.hostile import HOSTILE

VENV = CHECKOUT / ".venv"


@pytest.fixture
def hostile(make_home):
    """A home that is started by whoever has all of these variables."""
    home = make_home(LAUNCHDB_PROCFILE=str(CHECKOUT / "Procfile"), **HOSTILE)
    yield home
    launch.stop(home.settings)


def run(home, *words: object) -> str:
    done = subprocess.run(
        [str(word) for word in words],
        env=home.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        umask=0o277,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.gpg
def test_the_caller_s_variables_and_umask_change_nothing(hostile):
    run(hostile, CHECKOUT / "scripts" / "run", "--detach")
    launchdb = VENV / "bin" / "launchdb"
    run(hostile, launchdb, "projects", "create", "shop")
    shop = json.loads(run(hostile, launchdb, "projects", "connection", "shop", "--json"))
    with psycopg.connect(shop["databaseUrl"], autocommit=True) as owner:
        owner.execute("CREATE TABLE day (said text, at date, moment timestamptz)")
        owner.execute("GRANT ALL ON day TO service_role")
    row = {"said": "Größe € 日", "at": "2026-02-01", "moment": "2026-02-01T00:00:00+00:00"}
    headers = {"apikey": shop["serviceRoleKey"], "Prefer": "return=representation"}
    with httpx.Client(base_url=shop["restUrl"], headers=headers, trust_env=False) as http:
        assert http.post("/day", json=row).json() == [row]
    asked = json.loads(run(hostile, launchdb, "projects", "sql", "shop", "SELECT said, at::text FROM day", "--json"))
    assert asked["rows"] == [{"said": row["said"], "at": row["at"]}]
    run(hostile, launchdb, "backups", "create", "shop")
    run(hostile, launchdb, "backups", "verify", "shop")
    assert "Traceback" not in "".join(path.read_text() for path in (hostile.path / "log").glob("*.log"))
