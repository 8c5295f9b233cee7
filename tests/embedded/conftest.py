"""Homes of a test's own, and supervisors as `launchdb up` starts them."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import CHECKOUT, load, remembered_state
from infra.embedded.postgres import is_port_free, leftover_server
from infra.embedded.report import FAULT, READY, read
from infra.pipeline import spawn
from tests.fixtures.servers import throwaway, wait_until

PROCFILE = "api: sleep 10001\nworker: sleep 10002\nscheduler: sleep 10003\n"


def free_port() -> int:
    while not is_port_free(port := 25500 + secrets.randbelow(4000)):
        continue
    return port


def children_of(pid: int) -> dict[int, str]:
    """Process id → command line of what this process has started."""
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(OSError):
            found[int(child)] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    return found


def child_of(pid: int, command: str) -> int | None:
    return next((child for child, line in children_of(pid).items() if line == command), None)


def is_alive(pid: int) -> bool:
    """Return whether the process runs; one that ended and waits for init to notice does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


class Home:
    """One home folder and the supervisors that a test starts on it."""

    def __init__(self, folder: Path, procfile: str = PROCFILE, **environment: str) -> None:
        self.path = folder / "home"
        (folder / "Procfile").write_text(procfile)
        self.environment = {
            "PATH": os.environ["PATH"],
            "LAUNCHDB_HOME": str(self.path),
            "LAUNCHDB_PROCFILE": str(folder / "Procfile"),
            "LAUNCHDB_PORT": str(free_port()),
            "LAUNCHDB_POSTGRES_BIN": os.environ.get("LAUNCHDB_POSTGRES_BIN", ""),
            **environment,
        }
        self.started: list[subprocess.Popen[bytes]] = []

    @property
    def settings(self):
        return load(self.environment)

    def launch(self, **options):
        process = spawn(
            [sys.executable, "-m", "infra.embedded"],
            env=self.environment,
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )
        self.started.append(process)
        return process

    def start(self, **options):
        """Start and wait until all is ready."""
        process = self.launch(**options)
        said = list(read(process.stdout))
        assert said, process.stderr.read().decode()
        assert said[-1][0] == READY, said
        return process

    def refusal(self, **options) -> str:
        """Start, which must fail; return the sentence."""
        process = self.launch(**options)
        event, sentence = list(read(process.stdout))[-1]
        assert event == FAULT
        assert process.wait(30) == 1
        return sentence

    def stop(self, process) -> None:
        process.terminate()
        assert process.wait(60) == 0

    def log(self, name: str) -> str:
        return (self.path / "log" / f"{name}.log").read_text()

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()
            for stream in (process.stdout, process.stderr):
                stream.close()
        data = remembered_state(self.path).get("LAUNCHDB_POSTGRES_DATA")
        if data:
            wait_until(lambda: leftover_server(Path(data)) is None)


@pytest.fixture
def tmp_path():
    """A folder that every account can pass; pytest's own parent folder is closed, and closed again by each session."""
    folder = throwaway("ldb-")
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def make_home(tmp_path):
    """Make homes in folders that every account can pass."""
    homes = []

    def make(folder: Path = tmp_path, **more) -> Home:
        homes.append(Home(folder, **more))
        return homes[-1]

    yield make
    for home in homes:
        home.close()


@pytest.fixture
def home(make_home):
    """A home in a folder that every account can pass."""
    return make_home()
