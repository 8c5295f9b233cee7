"""An installation of a bench's own: started in a temporary home, stopped and removed afterwards."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from config.settings import CHECKOUT, Settings, load
from infra.composition import Infra
from infra.embedded import launch
from infra.pipeline import run

if TYPE_CHECKING:
    from collections.abc import Iterator

LAUNCHDB = Path(sys.executable).with_name("launchdb")
START_SECONDS = 120.0
LOOK_SECONDS = 0.05
UNFINISHED = "SELECT count(*) FROM jobs WHERE status IN ('queued', 'retrying', 'running', 'cancelling')"


@dataclass
class BenchInstallation:
    """A running installation: http is its operator, signed in; visitor is nobody."""

    settings: Settings
    infra: Infra
    http: httpx.Client
    visitor: httpx.Client

    @property
    def supervisor(self) -> int:
        """Process id of the supervisor: every process of ours descends from it."""
        pid = launch.running(self.settings)
        if pid is None:
            raise RuntimeError("the supervisor has ended")
        return pid

    def create(self, name: str, *, wait_seconds: int = 0) -> dict[str, Any]:
        """Ask for a project; return the answer's body."""
        headers = {"Prefer": f"wait={wait_seconds}"} if wait_seconds else {}
        answer = self.http.post("/api/projects", json={"name": name}, headers=headers)
        answer.raise_for_status()
        body: dict[str, Any] = answer.json()
        return body

    def unfinished(self) -> int:
        """Count jobs that have not come to rest."""
        with self.infra.database.autocommit() as tx:
            return int(tx.value(UNFINISHED))

    def wait_until_quiet(self, seconds: float = 120.0) -> None:
        """Wait until every job rests. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while self.unfinished():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.unfinished()} jobs have not come to rest")
            time.sleep(LOOK_SECONDS)  # a look costs what is measured


def free_port() -> int:
    """Return a port of the loopback address that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def installation(**environment: str) -> Iterator[BenchInstallation]:
    """Start an installation with these settings; stop and remove it in the end."""
    home = Path(tempfile.mkdtemp(prefix="ldb-bench-"))
    home.chmod(0o711)
    port = free_port()
    own = {"LAUNCHDB_HOME": str(home), "LAUNCHDB_PORT": str(port), "API_RATE_PER_MINUTE": "1000000", **environment}
    launchdb: list[str | Path] = ["env", *(f"{name}={value}" for name, value in own.items()), LAUNCHDB]
    run([*launchdb, "up", "--detach"], timeout_seconds=START_SECONDS, cwd=CHECKOUT)
    settings = load(own)
    infra = Infra.open(settings, name="launchdb-bench")
    operator = json.loads((home / "operator.json").read_text())
    clients = [httpx.Client(base_url=settings.base_url, timeout=60.0) for _ in range(2)]
    with clients[0] as http, clients[1] as visitor:
        answer = http.post("/api/auth/login", json={"email": operator["email"], "password": operator["password"]})
        answer.raise_for_status()
        http.headers["Authorization"] = f"Bearer {answer.json()['accessToken']}"
        try:
            yield BenchInstallation(settings, infra, http, visitor)
        finally:
            infra.close()
            run([*launchdb, "down"], timeout_seconds=60.0, cwd=CHECKOUT)
            shutil.rmtree(home, ignore_errors=True)
