"""The Postgres image: made once and whole, closed to whoever has no password, quick to stop."""

from __future__ import annotations

import os
import re
import secrets
import time
from pathlib import Path

import pytest

from tests.fixtures.images import command

pytestmark = pytest.mark.docker

# What a generated one may hold, and what a password file and a shell take for something else.
PASSWORD = "a/b+c=:d\\w $HOME"
DATA = "/var/lib/launchdb-postgres/17"
SECONDS = 60


class Server:
    """One container with a volume of its own; it can be removed and started anew."""

    def __init__(self, image: str, folder: Path) -> None:
        self.image = image
        self.name = f"ldb-pg-{secrets.token_hex(4)}"
        self.file = folder / "password"
        self.file.write_text(PASSWORD + "\n")
        self.file.chmod(0o600)
        if os.geteuid() == 0:
            os.chown(self.file, 10001, 10001)
        command("docker", "volume", "create", self.name)

    def start(self, *, entrypoint: str | None = None, words: tuple[str, ...] = ()) -> None:
        command(
            "docker", "run", "-d", "--name", self.name, "--network", "none", "--read-only", "--cap-drop", "ALL",
            "--security-opt", "no-new-privileges", "--tmpfs", "/tmp", "--tmpfs", "/run/postgresql:uid=10001,gid=10001,mode=0700",
            "-v", f"{self.name}:/var/lib/launchdb-postgres", "-v", f"{self.file}:/run/secret:ro",
            "-e", "POSTGRES_PASSWORD_FILE=/run/secret", *(["--entrypoint", entrypoint] if entrypoint else []), self.image, *words,
        )  # fmt: skip

    def run(self, *argv: str, check: bool = True) -> str:
        done = command("docker", "exec", self.name, *argv, check=check)
        return done.stdout + (done.stderr if not check else "")

    def answers(self) -> bool:
        return command("docker", "exec", self.name, "pg_isready", "-q", check=False).returncode == 0

    def wait(self, probe) -> None:
        deadline = time.monotonic() + SECONDS
        while not probe():
            assert time.monotonic() < deadline, command("docker", "logs", self.name).stderr[-2000:]
            time.sleep(0.1)

    def gone(self) -> None:
        command("docker", "rm", "-f", self.name, check=False)

    def remove(self) -> None:
        self.gone()
        command("docker", "volume", "rm", "-f", self.name)


@pytest.fixture(scope="module")
def server(images, tmp_path_factory):
    made = Server(images["postgres"], tmp_path_factory.mktemp("postgres"))
    made.start()
    made.wait(made.answers)
    yield made
    made.remove()


def test_the_platform_s_database_is_there_and_its_data_have_checksums(server):
    assert server.run("psql", "-d", "platform", "-Atc", "SHOW data_checksums").strip() == "on"
    assert server.run("psql", "-Atc", "SHOW max_connections").strip() == "500"


def test_what_all_projects_share_is_large_and_some_of_it_is_kept_for_the_platform(server):
    assert server.run("psql", "-Atc", "SHOW max_locks_per_transaction").strip() == "512"
    assert server.run("psql", "-Atc", "SHOW reserved_connections").strip() == "40"
    bounds = server.run("sh", "-c", f"cat /proc/$(head -n 1 {DATA}/data/postmaster.pid)/limits")
    assert re.search(rf"Max data size +{1024**3} ", bounds)


def test_nobody_comes_in_without_a_password(server):
    rules = server.run("cat", f"{DATA}/data/pg_hba.conf")
    methods = {line.split()[-1] for line in rules.splitlines() if line.strip() and not line.startswith("#")}
    assert methods == {"scram-sha-256"}
    for host in ("/run/postgresql", "127.0.0.1"):
        said = server.run("env", "PGPASSFILE=/none", "psql", "-w", "-h", host, "-c", "SELECT 1", check=False)
        assert "no password supplied" in said


def test_the_password_is_in_no_environment_and_no_argument(server):
    told = command("docker", "inspect", server.name).stdout + command("docker", "logs", server.name).stdout
    told += server.run("sh", "-c", "cat /proc/[0-9]*/cmdline /proc/1/environ | tr '\\0' ' '")
    told += command("docker", "logs", server.name).stderr
    assert PASSWORD not in told
    assert "a/b+c" not in told


@pytest.mark.parametrize(
    "extension", ["pgcrypto", "uuid-ossp", "pg_trgm", "citext", "hstore", "pg_stat_statements", "vector"]
)
def test_the_extensions_that_projects_expect_can_be_created(server, extension):
    server.run("psql", "-v", "ON_ERROR_STOP=1", "-c", f'CREATE EXTENSION "{extension}"')


def test_stopping_is_orderly_quick_and_keeps_everything(server):
    server.run("psql", "-d", "platform", "-c", "CREATE TABLE kept (id int)")
    began = time.monotonic()
    command("docker", "stop", "-t", "35", server.name)
    assert time.monotonic() - began < 20
    assert command("docker", "inspect", "-f", "{{.State.ExitCode}}", server.name).stdout.strip() == "0"
    server.gone()
    server.start()
    server.wait(server.answers)
    assert server.run("psql", "-d", "platform", "-Atc", "SELECT count(*) FROM kept").strip() == "0"
    assert "initdb" not in command("docker", "logs", server.name).stdout


def test_a_killed_first_start_is_made_again_and_never_taken_for_whole(images, tmp_path):
    made = Server(images["postgres"], tmp_path)
    try:
        made.start()
        made.wait(lambda: "data.new" in command("docker", "exec", made.name, "ls", DATA, check=False).stdout)
        command("docker", "kill", made.name)
        made.gone()
        made.start(entrypoint="ls", words=(DATA,))
        left = command("docker", "logs", made.name).stdout.split()
        made.gone()
        assert left == ["data.new"]
        made.start()
        made.wait(made.answers)
        assert made.run("psql", "-d", "platform", "-Atc", "SELECT 1").strip() == "1"
    finally:
        made.remove()
