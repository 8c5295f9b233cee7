"""The command line as a program: real processes with an installation of the test's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from catalog import owners
from infra import secretfiles

CHECKOUT = Path(__file__).resolve().parent.parent.parent
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
        with self.start(*arguments) as process:
            try:
                out, err = process.communicate(stdin, timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert "Traceback" not in err, err
        return Outcome(process.returncode, out, err)


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
