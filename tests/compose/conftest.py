"""One real installation in containers for the session: from a clean clone, by the one command, gone afterwards."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from config.installation import read, settings_of
from config.settings import CHECKOUT
from infra import files
from infra.host import docker_cli
from scripts.stack import edge
from scripts.stack.stack import Stack

START_SECONDS = 1500
DOMAIN = "db.launchdb.test"
VOLUME = "launchdb-postgres-data"
# What a host without Python does.
IN_IMAGE = {"LAUNCHDB_HOST_IMAGE": "yes"}


@dataclass
class Installation:
    """The installation as its operator has it: a clone, a home, and the command `launchdb`."""

    clone: Path
    home: Path
    environment: dict[str, str]
    started: subprocess.CompletedProcess[str] | None = None
    seconds: float = 0.0
    operator: dict[str, str] = field(default_factory=dict)

    @property
    def settings(self):
        return settings_of(self.home)

    @property
    def stack(self) -> Stack:
        return Stack.of(self.home)

    def command(self, *words: str, seconds: float = 600, stdin: str = "", **environment: str):
        """Run a program of the clone to its end, as an operator does."""
        return subprocess.run(
            [str(word) for word in words],
            cwd=self.clone,
            env={**self.environment, **environment},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def launchdb(self, *words: str, code: int = 0, **more):
        """Run `launchdb`; it has to end with this exit code."""
        done = self.command("scripts/launchdb", *words, **more)
        assert done.returncode == code, f"{words}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done

    def json(self, *words: str, **more):
        return json.loads(self.launchdb(*words, "--json", **more).stdout)

    def start(self, *options: str) -> None:
        """scripts/run --docker --detach, and what it leaves."""
        began = time.monotonic()
        self.started = self.command("scripts/run", "--docker", "--detach", *options, seconds=START_SECONDS)
        self.seconds = time.monotonic() - began
        assert self.started.returncode == 0, self.started.stderr[-6000:]
        self.operator = json.loads((self.home / "operator.json").read_text())

    def http(self, **more) -> httpx.Client:
        """A client that comes in through Caddy, over TLS, and checks the certificate."""
        return edge.client(self.settings, **more)

    def signed_in(self, **more) -> httpx.Client:
        """The same, as the operator."""
        client = self.http(**more)
        known = {"email": self.operator["email"], "password": self.operator["password"]}
        found = client.post("/api/auth/login", json=known)
        assert found.status_code == 200, found.text
        client.headers["Authorization"] = f"Bearer {found.json()['accessToken']}"
        return client

    def rows(self, path: str = "/rest/v1/todos?select=title"):
        """What the public key reads of the project `demo`, through Caddy."""
        with self.http() as client:
            key = self.operator["anonKey"]
            return client.get(f"/project/{self.operator['projectId']}{path}", headers={"apikey": key})

    def certificate(self) -> dict:
        """Caddy's certificate for the domain, checked against its own authority."""
        context = ssl.create_default_context(cadata=edge.authority(self.settings))
        address = ("127.0.0.1", self.settings.https_port)
        with socket.create_connection(address) as plain, context.wrap_socket(plain, server_hostname=DOMAIN) as safe:
            return safe.getpeercert()


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    found = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return found


def wait_for(probe, seconds: float = 60.0, why: str = "it does not come about"):
    """Return what the probe finds, once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        assert time.monotonic() < deadline, why
        time.sleep(0.25)
    return found


def remove_everything(installation: Installation) -> None:
    """Take the installation away, with its data and the copy of its secrets."""
    if (installation.home / ".env").exists():
        key = read(installation.home)["INTERNAL_API_KEY"]
        for copy in Path("/root").glob("launchdb-secrets-*.txt"):
            if key in copy.read_text():
                copy.unlink()
        # First whoever would make a project's container anew.
        installation.stack.compose.down(tell=lambda _line: None, volumes=True)
        projects = [one.name for one in installation.stack.projects()]
        if projects:
            docker_cli.run_docker("rm", "--force", *projects, timeout_seconds=300)


@pytest.fixture(scope="session")
def clone():
    """A clean clone of the checkout's last commit, in a folder of a short path."""
    folder = Path(tempfile.mkdtemp(prefix="ldb-"))
    subprocess.run(["git", "clone", "--quiet", str(CHECKOUT), str(folder / "launchdb")], check=True)
    yield folder / "launchdb"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def place():
    """The names of an installation's containers and of its volume, for nobody but these tests, of one run at a time.

    What a killed run has left is taken away. An installation that somebody uses is not: then nothing is done.
    """
    with files.locked(Path(tempfile.gettempdir()) / "launchdb-stack.lock"):
        ids = docker_cli.run_docker("ps", "--all", "--quiet", "--filter", "name=^/launchdb-").split()
        shown = json.loads(docker_cli.run_docker("inspect", *ids)) if ids else []
        homes = {
            line.partition("=")[2]
            for one in shown
            for line in one["Config"]["Env"]
            if line.startswith("LAUNCHDB_HOME=")
        }
        if homes and all(home.startswith(f"{tempfile.gettempdir()}/ldb-") for home in homes):
            docker_cli.run_docker("rm", "--force", *ids, timeout_seconds=300)
            docker_cli.run_docker("volume", "rm", "--force", VOLUME)
        elif ids or VOLUME in docker_cli.run_docker("volume", "ls", "--format", "{{.Name}}").split():
            pytest.fail(
                "an installation in containers is on this machine; these tests would take its place and its data"
            )
        yield


@pytest.fixture(scope="session")
def unstarted(clone, place):
    """An installation that nobody has started yet: free ports, a home of its own."""
    http, https = free_ports(2)
    known = (
        "PATH",
        "HOME",
        "PIP_INDEX_URL",
        "PIP_CONFIG_FILE",
        "SSL_CERT_FILE",
        "LAUNCHDB_PYTHON",
        "LAUNCHDB_BUILD_CACHE",
        "LAUNCHDB_VERSION",
    )
    environment = {name: os.environ[name] for name in known if name in os.environ}
    made = Installation(
        clone,
        clone.parent / "home",
        {
            **environment,
            "LAUNCHDB_HOME": str(clone.parent / "home"),
            "DOMAIN": DOMAIN,
            "LAUNCHDB_TLS": "internal",
            "LAUNCHDB_HTTP_PORT": str(http),
            "LAUNCHDB_HTTPS_PORT": str(https),
            "LAUNCHDB_EDGE_SUBNET": f"10.213.{secrets.randbelow(256)}.0/24",
            "LAUNCHDB_FRONT_SUBNET": f"10.214.{secrets.randbelow(256)}.0/24",
        },
    )
    remove_everything(made)
    yield made
    remove_everything(made)


@pytest.fixture(scope="session")
def installation(unstarted):
    """The installation, started from the clean clone by `scripts/run --docker --detach`.

    Where LAUNCHDB_TEST_UPDATED_FROM names a commit, it was that one's, and `launchdb update` has brought it here.
    """
    before = os.environ.get("LAUNCHDB_TEST_UPDATED_FROM")
    if not before:
        unstarted.start()
        return unstarted
    newest = unstarted.command("git", "rev-parse", "HEAD").stdout.strip()
    for commit, go in (
        (before, unstarted.start),
        (newest, lambda: unstarted.launchdb("update", seconds=START_SECONDS)),
    ):
        taken = unstarted.command("git", "checkout", "--quiet", "--detach", commit)
        assert taken.returncode == 0, taken.stderr
        go()
    return unstarted
