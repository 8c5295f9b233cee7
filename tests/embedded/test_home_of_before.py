"""A home of the version before is started by this one: its projects, keys and backups work, and its jobs come to an end.

tests/fixtures/home_of_before/make.py says how that home was made, and what it was in the middle of.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile

import httpx
import psycopg
import pytest

from config.settings import CHECKOUT
from infra.embedded import launch, postgres
from infra.embedded.start import folders
from infra.pipeline import spawn
from infra.secrets import secretfiles
from tests.fixtures.home_of_before.make import ARCHIVE, DUMP, KNOWN
from tests.fixtures.servers import wait_until

pytestmark = pytest.mark.gpg
OPEN = ("queued", "running", "cancelling", "retrying")


def unpack(home) -> dict[str, str]:
    """Put the home where the test has one, with a Postgres that holds its databases; return what is known of `shop`."""
    folder = home.path.parent
    with tarfile.open(ARCHIVE) as archive:
        for entry in archive:
            archive.extract(entry, folder)
    # It lies elsewhere now, and its server's port may be somebody's: what says so is made anew, or told the new one.
    was = json.loads((home.path / "state.json").read_text())["LAUNCHDB_POSTGRES_PORT"]
    (home.path / "state.json").unlink()
    folders(home.settings)
    server = postgres.prepare(home.settings)
    for file in (home.path / "instances").glob("*/data-api.conf"):
        file.write_text(file.read_text().replace(f":{was}/", f":{server.port}/"))
    log = folder / "loading.log"
    with log.open("wb") as out:
        process = spawn(server.argv(), account=server.account, stdout=out, stderr=out)
    try:
        wait_until(server.answers)
        password = secretfiles.current(home.settings.secrets_folder, "POSTGRES_SUPERUSER_PASSWORD")
        at = {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": "postgres", "PGPASSWORD": password}
        argv = [server.programs / "psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-f", folder / DUMP]
        done = subprocess.run(argv, env=at, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    finally:
        process.terminate()
        process.wait(60)
    return json.loads((folder / KNOWN).read_text())


class Upgraded:
    """That home, and the command `launchdb` of this version on it."""

    def __init__(self, home) -> None:
        self.home = home
        self.known = unpack(home)
        self.was = json.loads((home.path / "operator.json").read_text())

    def launchdb(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "scripts.cli", *words],
            env=self.home.environment, cwd=CHECKOUT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def json(self, *words: str):
        return json.loads(self.launchdb(*words, "--json"))

    def fruit(self, key: str = "anonKey", **more) -> list[dict]:
        """What a client reads, or writes, with the keys that it got from the version before."""
        url = f"http://127.0.0.1:{self.home.settings.port}/project/{self.known['projectUrl'].rpartition('/')[2]}/rest/v1/fruit"
        headers = {"apikey": self.known[key], "Prefer": "return=representation"}
        answer = httpx.request("POST" if more else "GET", url, headers=headers, **more)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    def ask(self, statement: str) -> list[tuple]:
        with psycopg.connect(self.home.settings.database_url) as platform:
            return platform.execute(statement).fetchall()


@pytest.fixture
def upgraded(make_home):
    """The home of before, started by this version; all that it was in the middle of has ended."""
    home = make_home(LAUNCHDB_PROCFILE=str(CHECKOUT / "Procfile"))
    made = Upgraded(home)
    try:
        made.launchdb("up", "--detach")
        still = f"SELECT id, kind, status FROM jobs WHERE status IN {OPEN}"
        wait_until(lambda: not made.ask(still), seconds=90)
        yield made
    finally:
        launch.stop(home.settings)


def test_a_home_of_the_version_before_goes_on_with_its_projects_keys_backups_and_jobs(upgraded):
    ended = upgraded.ask("SELECT kind, status, count(*) FROM jobs GROUP BY 1, 2 ORDER BY 1, 2")
    assert {status for _, status, _ in ended} == {"succeeded"}, ended
    # The creation and the restore that it was in the middle of, and each backup that it had asked for: once.
    assert {(kind, times) for kind, _, times in ended} >= {
        ("project.provision", 3), ("project.restore", 1), ("project.restart", 1),
        ("fleet.backup", 2), ("platform.backup", 2), ("project.backup", 4),
    }  # fmt: skip
    names = {project["name"]: project["status"] for project in upgraded.json("projects", "list")["projects"]}
    assert names == {"demo": "active", "shop": "active", "late": "active"}

    # The restore had swapped the database in: what was written after that backup is not there, and nothing is twice.
    assert upgraded.fruit() == [{"id": 1, "name": "quince"}]
    assert upgraded.fruit("serviceRoleKey", json={"id": 3, "name": "fig"}) == [{"id": 3, "name": "fig"}]
    now = json.loads((upgraded.home.path / "operator.json").read_text())
    assert {name for name in now if now[name] != upgraded.was[name] and not name.lower().endswith("url")} == set()
    assert upgraded.json("projects", "connection", "shop")["serviceRoleKey"] == upgraded.known["serviceRoleKey"]
    assert upgraded.json("projects", "connection", "late")["anonKey"]
    upgraded.launchdb("audit", "verify")

    made_before = min(upgraded.json("backups", "list", "shop")["backups"], key=lambda one: one["createdAt"])
    upgraded.launchdb("backups", "verify", "shop", made_before["id"])
    upgraded.launchdb("backups", "restore", "shop", made_before["id"], "--yes")
    assert upgraded.fruit() == [{"id": 1, "name": "quince"}]
    upgraded.launchdb("backups", "create", "shop")
    upgraded.launchdb("backups", "verify", "shop")
