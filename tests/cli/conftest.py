"""The command line as a program: real processes with an installation of the test's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from catalog import owners
from infra.secrets import secretfiles
from tests.cli import command
from tests.fixtures.forked import CHECKOUT, processes

PASSWORD = "correct horse battery staple"


@dataclass
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@dataclass
class CommandLine:
    """Runs `launchdb`; `environment` can be added to."""

    environment: dict[str, str] = field(default_factory=dict)

    def start(self, *arguments: str, log=subprocess.PIPE, **more) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "scripts.cli", *arguments],
            cwd=CHECKOUT,
            env={"PATH": os.environ["PATH"], **self.environment},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            text=True,
            **more,
        )

    def run(self, *arguments: str, stdin: str = "", timeout: float = 30) -> Outcome:
        """Run one to its end, forked: `start` is the program as people start it, and slower by its imports."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "stdin").write_text(stdin)
            environment = {"PATH": os.environ["PATH"], **self.environment}
            process = processes.Process(target=command.run, args=(arguments, environment, name))
            process.start()
            process.join(timeout)
            if process.exitcode is None:
                process.kill()
                process.join()
                raise subprocess.TimeoutExpired(arguments, timeout)
            out, err = ((folder / stream).read_text() for stream in ("stdout", "stderr"))
        assert "Traceback" not in err, err
        return Outcome(process.exitcode, out, err)


@pytest.fixture
def home(settings, unused_port):
    """A home folder with secrets; its API is down."""
    secretfiles.ensure(settings.secrets_folder, settings.home / ".env")
    return settings.home


@pytest.fixture
def unused_port():
    """A port that nobody listens on."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def launchdb(settings, home, unused_port, tmp_path):
    """The command line of whoever may read that home."""
    return CommandLine(
        {
            "LAUNCHDB_HOME": str(home),
            "LAUNCHDB_DATABASE_URL": settings.database_url,
            "LAUNCHDB_REDIS_URL": settings.redis_url,
            "LAUNCHDB_PORT": str(unused_port),
            "XDG_CONFIG_HOME": str(tmp_path / "configuration"),
        }
    )


@pytest.fixture
def operator(infra, home):
    """The operator of that home; returns the owner's id."""
    with infra.database.transaction() as tx:
        owner = owners.register(tx, email="root@example.org", name="Root", password_hash="$argon2id$none")
        tx.execute("UPDATE owners SET is_operator = true WHERE id = %s", (owner.id,))
    return owner.id
