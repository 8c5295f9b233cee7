"""Docker's own processes as a test may kill them, and what systemd would do then: read from the units that are installed."""

from __future__ import annotations

import configparser
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from tests.fixtures.installation import wait_for

if TYPE_CHECKING:
    from tests.fixtures.installation import Installation

PID = Path("/var/run/docker.pid")
# Of Debian's docker.service (RestartSec), and a word of ours on how long it may take.
RESTART_SECONDS, BACK_SECONDS = 2, 120
RUNTIME = "/run/docker"
OURS = ("dockerd", "containerd", "containerd-shim", "containerd-shim-runc-v2", "docker-proxy")


def require(others: set[str]) -> None:
    """Skip unless whoever runs this has said that Docker may be killed, and nobody else uses it."""
    if os.environ.get("LAUNCHDB_TEST_MAY_RESTART_DOCKER") != "yes":
        pytest.skip("LAUNCHDB_TEST_MAY_RESTART_DOCKER=yes lets it restart Docker")
    if Path("/run/systemd/system").exists() or not PID.exists():
        pytest.skip("Docker belongs to an init system, or runs elsewhere")
    if others:
        pytest.skip(f"somebody else uses Docker: {', '.join(sorted(others))}")


class Engine:
    """The Docker of this machine, which was started by hand: nobody but the test starts it again."""

    def __init__(self) -> None:
        pid = int(PID.read_text())
        self.argv = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
        assert Path(self.argv[0]).name == "dockerd"
        self.log = Path(f"/proc/{pid}/fd/1").resolve()

    def end(self, number: int) -> None:
        """Send dockerd a signal and wait until it has ended."""
        pid = int(PID.read_text())
        os.kill(pid, number)
        wait_for(lambda: _has_ended(pid), BACK_SECONDS)

    def lose_power(self) -> None:
        """End at once all that is Docker's, and take what no reboot leaves: mounts, bridges, what lies in /run."""
        victims = _family()
        for pid in victims:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_for(lambda: all(map(_has_ended, victims)), BACK_SECONDS)
        for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
            place = line.split()[1]
            if place.startswith(
                ("/var/lib/docker/overlay2/", "/var/lib/docker/containers/", RUNTIME, "/run/containerd")
            ):
                subprocess.run(["umount", "--lazy", place], check=False)
        shutil.rmtree(RUNTIME, ignore_errors=True)
        PID.unlink(missing_ok=True)
        for bridge in Path("/sys/class/net").glob("br-*"):
            subprocess.run(["ip", "link", "delete", bridge.name], check=False)

    def start(self, *options: str) -> None:
        """Start dockerd as it was, again and again as systemd does, until it answers; it is nobody's child, as before."""
        deadline = time.monotonic() + BACK_SECONDS
        while not _answers():
            assert time.monotonic() < deadline, "Docker does not come up"
            if not _running("dockerd"):
                time.sleep(RESTART_SECONDS)
                self._start([*self.argv, *options])
            time.sleep(0.2)

    def _start(self, argv: list[str]) -> None:
        with self.log.open("ab") as out:
            subprocess.run(["setsid", "--fork", *argv], stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=True)


def _answers() -> bool:
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def _has_ended(pid: int) -> bool:
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def _processes() -> dict[int, tuple[str, int]]:
    """Each process: its program, and its parent."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            found[int(path.name)] = (path / "exe").readlink().name, parent
    return found


def _running(*programs: str) -> list[int]:
    return [pid for pid, (program, _parent) in _processes().items() if program in programs and not _has_ended(pid)]


def _family() -> list[int]:
    """Docker's daemons, then its shims and all that runs below these."""
    found, known = _running(*OURS), _processes()
    for pid in found:  # grows while it is walked
        found.extend(child for child, (_program, parent) in known.items() if parent == pid and child not in found)
    return found


class Systemd:
    """What systemd does with the units that `scripts/install` lays: at boot, when Docker is started, each minute."""

    def __init__(self, installation: Installation, root: Path) -> None:
        self._installation, self._over = installation, threading.Event()
        options = ("--without-packages", "--without-firewall", "--without-live-restore")
        done = installation.command("scripts/install", "--root", str(root), "--home", str(installation.home), *options)
        assert done.returncode == 0, done.stderr
        units = root / "etc/systemd/system"
        self._service = self._unit(units / "docker.service.wants" / "launchdb.service")["Service"]
        self._timer = self._unit(units / "timers.target.wants" / "launchdb.timer")["Timer"]
        self.runs: list[subprocess.CompletedProcess[str]] = []

    @staticmethod
    def _unit(path: Path) -> configparser.ConfigParser:
        found = configparser.ConfigParser(interpolation=None, strict=False)
        found.optionxform = str  # type: ignore[method-assign,assignment]
        found.read_string(path.read_text())
        return found

    def start_service(self) -> None:
        """Run what the service runs, as root with hardly an environment."""
        environment = dict(word.split("=", 1) for word in shlex.split(self._service["Environment"]))
        # The program lies beside the home here.
        argv = shlex.split(
            self._service["ExecStart"].replace(
                f"{self._installation.home}/scripts", f"{self._installation.clone}/scripts"
            )
        )
        kept = {name: os.environ[name] for name in ("PATH",)}
        self.runs.append(
            subprocess.run(
                argv,
                env={**kept, **environment},
                capture_output=True,
                text=True,
                check=False,
                timeout=float(self._service["TimeoutStartSec"]),
            )
        )

    def __enter__(self) -> Self:
        """Boot: Docker is up, so the service is started; the timer runs from now on."""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()
        for done in self.runs:
            print(f"launchdb.service: {done.returncode}\n{done.stderr[-1500:]}")

    def _run(self) -> None:
        while not self._over.is_set():
            self.start_service()
            self._over.wait(float(self._timer["OnUnitInactiveSec"].removesuffix("s")))
