"""docs/backups.md as a new user follows it: every command in it is run as it stands there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time

import httpx
import psycopg
import pytest

from config.settings import CHECKOUT
from infra.backup.dumps import PostgresPrograms
from infra.embedded import launch

pytestmark = pytest.mark.gpg

PAGE = (CHECKOUT / "docs" / "backups.md").read_text()
TABLE = """
CREATE TABLE notes (n int PRIMARY KEY, body text);
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON notes FOR SELECT TO anon USING (n <= 42);
GRANT SELECT ON notes TO anon;
INSERT INTO notes SELECT n, 'note ' || n FROM generate_series(1, 100) n;
"""


def block(heading: str, number: int = 0) -> str:
    """The shell commands under a heading of the page."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)[number]


class Guide:
    """A home, and a shell in which the page's commands are run against it."""

    def __init__(self, home, folder) -> None:
        self.home, self.folder = home, folder
        for name, words in (("bin/launchdb", "-m scripts.cli"), ("scripts/run", "-m scripts.cli up")):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f'#!/bin/sh\ncd "{CHECKOUT}" && exec "{sys.executable}" {words} "$@"\n')
            path.chmod(0o755)

    def run(self, commands, *, stdin="", **replaced):
        """Run commands of the page; stop at the first that fails."""
        commands = commands.replace(".launchdb", str(self.home.path))
        for old, new in replaced.items():
            commands = commands.replace(old, new)
        environment = {**self.home.environment, "PATH": f"{self.folder}/bin:{os.environ['PATH']}"}
        environment["HOME"] = str(self.folder)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=self.folder,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, f"{commands}\n{done.stderr[-3000:]}"
        return done

    def connection(self, name):
        return json.loads(self.run(f"launchdb projects connection {name} --json").stdout)

    def signs_in(self, operator):
        """Whether the account of operator.json is let in, as an operator."""
        known = {"email": operator["email"], "password": operator["password"]}
        answer = httpx.post(f"{operator['url']}/api/auth/login", json=known)
        if answer.status_code != 200:
            return False
        bearer = {"Authorization": f"Bearer {answer.json()['accessToken']}"}
        return httpx.get(f"{operator['url']}/api/admin/owners", headers=bearer).status_code == 200

    def rows(self, connection):
        """What the public key reads."""
        headers = {"apikey": connection["anonKey"]}
        answer = httpx.get(f"{connection['restUrl']}/notes?select=n", headers=headers)
        return len(answer.json()) if answer.status_code == 200 else answer.status_code

    def furnished(self, name):
        self.run(f"launchdb projects create {name}")
        connection = self.connection(name)
        with psycopg.connect(connection["databaseUrl"], autocommit=True) as owner:
            owner.execute(TABLE)
        wait(lambda: self.rows(connection) == 42)
        return connection


def wait(probe, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not probe():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.2)


@pytest.fixture
def guide(make_home, tmp_path):
    """A running installation with the project that the page speaks of."""
    home = make_home(LAUNCHDB_PROCFILE=str(CHECKOUT / "Procfile"))
    made = Guide(home, tmp_path)
    made.run("scripts/run --detach")
    yield made
    launch.stop(made.home.settings)


def test_the_page_s_commands_do_what_it_says(guide, tmp_path):
    connection = guide.furnished("shop")
    said = guide.run(first_block())
    assert "shop" in said.stdout
    with psycopg.connect(connection["databaseUrl"], autocommit=True) as owner:
        owner.execute("DELETE FROM notes")
    guide.run(block("Going back"))
    wait(lambda: guide.rows(connection) == 42)
    assert guide.rows(guide.connection("shop-of-yesterday")) == 42
    shop, *others = block("To another host").splitlines()
    made = guide.run(shop, **{"/tmp": str(tmp_path)})
    passphrase = made.stdout.splitlines()[-1]
    theirs = next(line for line in others if "--keys new" in line)
    guide.run(f"{theirs} --passphrase-stdin", stdin=f"{passphrase}\n", **{"/tmp": str(tmp_path)})
    assert guide.rows(guide.connection("shop-of-theirs")) == 42


def first_block():
    """What stands before the first heading."""
    return re.findall(r"```sh\n(.*?)```", PAGE.partition("\n## ")[0], re.DOTALL)[0]


def test_everything_is_lost_but_the_backups_and_the_keys(guide, make_home, tmp_path):
    """The restore drill, in an empty home."""
    connection = guide.furnished("shop")
    guide.run("launchdb backups create --all")
    projects = json.loads(guide.run("launchdb projects list --json").stdout)["projects"]
    safe = tmp_path / "safe"
    safe.mkdir()
    for name in ("secrets", "backups"):
        shutil.copytree(guide.home.path / name, safe / name)
    shutil.copy2(guide.home.path / ".env", safe / ".env")
    launch.stop(guide.home.settings)
    shutil.rmtree(guide.home.path)

    (tmp_path / "fresh").mkdir(mode=0o711)
    fresh = Guide(make_home(tmp_path / "fresh", LAUNCHDB_PROCFILE=str(CHECKOUT / "Procfile")), tmp_path)
    try:
        done = fresh.run(block("When everything is lost"), **{"/safe": str(safe)})
        assert "is lost" not in done.stdout
        again = None
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            shown = json.loads(fresh.run("launchdb projects list --json").stdout)["projects"]
            if {project["status"] for project in shown} == {"active"}:
                again = fresh.connection("shop")
                break
            time.sleep(0.5)
        assert again is not None, shown
        assert again["anonKey"] == connection["anonKey"], "clients go on with the keys that they have"
        assert {project["id"] for project in shown} == {project["id"] for project in projects}, "the new home has none"
        fresh.run("launchdb db inventory")  # which fails when something belongs to nobody
        operator = json.loads((fresh.home.path / "operator.json").read_text())
        assert fresh.signs_in(operator)
        wait(lambda: fresh.rows(again) == 42)
        with psycopg.connect(again["databaseUrl"], autocommit=True) as owner:
            assert owner.execute("SELECT count(*) FROM notes").fetchone() == (100,)
            owner.execute("INSERT INTO notes VALUES (101, 'life goes on')")
        fresh.run("launchdb down && scripts/run --detach")
        later = json.loads((fresh.home.path / "operator.json").read_text())
        assert (later["password"], later["anonKey"]) == (operator["password"], fresh.connection("demo")["anonKey"])
        # And it can all be backed up and proven again.
        fresh.run("launchdb backups create shop && launchdb backups verify shop")
    finally:
        launch.stop(fresh.home.settings)


def test_a_backup_is_restored_without_this_program(guide, tmp_path, server_url):
    """gpg, gunzip and psql: the page's own words, on a server that has never heard of the project."""
    connection = guide.furnished("shop")
    project = re.search(r"proj_[0-9a-f]{16}", connection["restUrl"])[0]
    guide.run("launchdb backups create shop")
    (file,) = guide.home.settings.backups_folder.glob(f"{project}_*.sql.gz.gpg")
    shutil.copy2(guide.home.path / ".env", tmp_path / ".env")
    shutil.copy2(file, tmp_path / file.name)
    known = psycopg.conninfo.conninfo_to_dict(server_url)
    psql = PostgresPrograms.of(guide.home.settings).folder
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE empty TEMPLATE template0")
    try:
        words = block("Without this program").replace("proj_0123456789abcdef_20260101_020000.sql.gz.gpg", file.name)
        address = {"PGHOST": known["host"], "PGPORT": known["port"], "PGUSER": known["user"]}
        address["PGPASSWORD"] = known.get("password", "")
        exports = "".join(f"export {name}='{value}'\n" for name, value in address.items())
        guide.run(f"{exports}export PATH={psql}:$PATH\n{words}")
        with psycopg.connect(server_url, dbname="empty") as admin:
            assert admin.execute("SELECT count(*) FROM notes").fetchone() == (100,)
            assert admin.execute("SELECT count(*) FROM pg_policies WHERE tablename = 'notes'").fetchone() == (1,)
            assert admin.execute(f"SELECT has_table_privilege('{project}_owner', 'notes', 'INSERT')").fetchone() == (
                True,
            )
    finally:
        with psycopg.connect(server_url, autocommit=True) as admin:
            admin.execute("DROP DATABASE empty WITH (FORCE)")
            for row in admin.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE %s", (f"{project}%",)).fetchall():
                admin.execute(f'DROP ROLE "{row[0]}"')
