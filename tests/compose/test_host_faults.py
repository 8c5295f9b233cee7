"""What befalls the machine: all is up and healthy again without a person within three minutes, and nothing accepted is lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import closing, contextmanager, suppress
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from config.installation import read
from infra.host import docker_cli
from infra.host.home import LAUNCHDB
from infra.secrets.services import SERVICES
from scripts.stack.stack import NAMES
from tests.compose import engine
from tests.compose.clients import Clients, Writers
from tests.compose.engine import Engine, Systemd
from tests.compose.test_faults import is_well, project, starts, state, victim  # noqa: F401 - two are fixtures
from tests.compose.test_stack import finished, keys
from tests.fixtures.installation import VOLUME, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.docker, pytest.mark.full]

BACK_SECONDS = 180
# What the small disk has besides what is there: more than Postgres keeps of its log.
ROOM_KB = 300_000


@pytest.fixture
def docker(installation):
    """The machine's Docker, which may be killed: it runs again afterwards as before."""
    engine.require(set(docker_cli.run_docker("ps", "--format", "{{.Names}}").split()) - set(starts(installation)))
    found = Engine()
    yield found
    if not engine.PID.exists() or not docker_cli.run_docker("version"):
        found.start()


@pytest.fixture
def systemd(installation, tmp_path):
    return Systemd(installation, tmp_path)


@contextmanager
def nothing_accepted_is_lost(installation, victim, *, what: str) -> Iterator[Writers]:  # noqa: F811
    """Have clients write all the time; wait until everything is well again, and look for all that was accepted."""
    with closing(installation.signed_in()) as http:
        key = http.get(f"/api/projects/{victim.id}/connection").json()["serviceRoleKey"]
    with Writers(installation, victim.id, key) as writers:
        with suppress(AssertionError):
            wait_for(lambda: len(writers.rows) > 50 and writers.jobs, 60)
        assert len(writers.rows) > 50, writers.refused[-3:]
        assert writers.jobs, writers.refused[-3:]
        began, rows, jobs = time.monotonic(), len(writers.rows), len(writers.jobs)
        yield writers
        wait_for(lambda: is_all_well(victim), BACK_SECONDS - (time.monotonic() - began), f"{what}: not well again")
        print(f"{what}: all well again after {time.monotonic() - began:.1f} s")
        written = len(writers.rows)
        wait_for(lambda: len(writers.rows) > written + 20, 30, "nothing is accepted afterwards")
    print(f"{what}: {rows} rows and {jobs} jobs accepted before, {len(writers.rows)} and {len(writers.jobs)} in all")
    with closing(installation.signed_in(timeout=30)) as http:
        assert writers.lost(http) == []
        for one in writers.jobs:
            finished(http, http.delete(f"/api/projects/{one}", params={"purge": "true"}))


def is_all_well(victim) -> bool:  # noqa: F811
    try:
        if not all(is_well(name) and state(name) == "running" for name in NAMES.values()):
            return False
        with victim.installation.http(timeout=20) as http:
            return http.get(f"{victim.path}&id=eq.1", headers=keys(victim.key)).json() == [{"id": 1}]
    except (httpx.TransportError, ValueError):
        return False


# --- Docker and the machine ---


def test_all_comes_back_when_docker_is_killed(installation, victim, docker, systemd):  # noqa: F811
    with nothing_accepted_is_lost(installation, victim, what="kill -9 dockerd"):
        docker.end(signal.SIGKILL)
        docker.start()
        with systemd:
            wait_for(lambda: is_all_well(victim), BACK_SECONDS)


def test_clients_notice_nothing_of_a_killed_docker_that_keeps_containers(installation, victim, docker):  # noqa: F811
    """As `scripts/install` sets it up: with live-restore."""
    docker.end(signal.SIGTERM)
    docker.start("--live-restore")
    try:
        installation.launchdb("up", "--docker", "--detach", "--without-demo", seconds=300)
        wait_for(lambda: is_all_well(victim), BACK_SECONDS)
        before = starts(installation)
        # What comes to the loopback address goes through a process of Docker's; nobody's clients come from there.
        outside = str(next(ip_network(read(installation.home)["LAUNCHDB_EDGE_SUBNET"]).hosts()))
        with Clients(installation, [(victim.path, victim.key)], host=outside) as clients:
            docker.end(signal.SIGKILL)
            docker.start("--live-restore")
            wait_for(lambda: is_all_well(victim), BACK_SECONDS)
        assert clients.failures == []
        assert clients.answered > 0
        assert starts(installation) == before
        # What Docker lost sight of meanwhile is nobody's to find.
        assert installation.command("scripts/mend").stderr == ""
    finally:
        docker.end(signal.SIGTERM)
        docker.start()
        installation.launchdb("up", "--docker", "--detach", "--without-demo", seconds=300)


def test_all_comes_back_after_a_reboot(installation, victim, docker, systemd):  # noqa: F811
    with nothing_accepted_is_lost(installation, victim, what="a reboot"):
        docker.lose_power()
        docker.start()
        with systemd:
            wait_for(lambda: is_all_well(victim), BACK_SECONDS)


def test_what_was_stopped_on_purpose_stays_so_over_a_reboot(installation, victim, docker, systemd):  # noqa: F811
    installation.launchdb("down", seconds=240)
    docker.lose_power()
    docker.start()
    systemd.start_service()
    assert docker_cli.containers(name="launchdb-") == []
    installation.launchdb("up", "--docker", "--detach", seconds=300)
    wait_for(lambda: is_all_well(victim), BACK_SECONDS)


# --- a full disk ---


@pytest.fixture
def small_disk(installation):
    """Postgres's data on a file system with little room; yields where it lies."""
    installation.launchdb("down", seconds=240)
    data = Path(docker_cli.run_docker("volume", "inspect", "--format", "{{.Mountpoint}}", VOLUME).strip())
    used = int(run("du", "-sk", data).split()[0])
    small = data.parent / "small"
    small.mkdir()
    run("mount", "-t", "tmpfs", "-o", f"size={used + ROOM_KB}k", "tmpfs", small)
    run("cp", "-a", f"{data}/.", small)
    run("chown", "--reference", data, small)
    run("chmod", "--reference", data, small)
    run("mount", "--bind", small, data)
    try:
        installation.launchdb("up", "--docker", "--detach", "--without-demo", seconds=300)
        yield data
    finally:
        installation.launchdb("down", seconds=240)
        run("umount", data)
        shutil.rmtree(data / "17")
        run("cp", "-a", small / "17", data)
        run("umount", small)
        small.rmdir()
        installation.launchdb("up", "--docker", "--detach", "--without-demo", seconds=300)


def run(*words: object) -> str:
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, check=True).stdout


def test_a_postgres_that_a_full_disk_has_ended_comes_back_once_there_is_room(
    installation,
    victim,  # noqa: F811
    small_disk,
    systemd,
):
    fill = small_disk / "fill"

    def ended() -> bool:
        return state(NAMES["postgres"]) != "running" or "No space left" in docker_cli.tail(NAMES["postgres"], 20)

    with systemd, nothing_accepted_is_lost(installation, victim, what="a full disk") as writers:
        with fill.open("wb") as file, suppress(OSError):
            while True:
                file.write(bytes(64 * 1024))
        docker_cli.run_docker("exec", NAMES["postgres"], "sh", "-c", "kill -9 -1")
        wait_for(ended, 60, "Postgres goes on without any room")
        wait_for(lambda: state(NAMES["postgres"]) == "restarting", 60, "it starts without any room")
        accepted = len(writers.rows)
        time.sleep(10)  # Docker waits longer and longer
        assert len(writers.rows) == accepted
        fill.unlink()


# --- files that services are started with ---


def test_a_project_whose_configuration_is_lost_is_given_it_again(victim):  # noqa: F811
    path = victim.installation.settings.instances_folder / victim.id / "data-api.conf"
    before = path.read_text()
    path.unlink()
    docker_cli.restart(victim.container)
    wait_for(lambda: path.exists() and path.read_text() == before, BACK_SECONDS)
    wait_for(lambda: is_all_well(victim), BACK_SECONDS)


@pytest.mark.parametrize("loss", ["emptied", "removed"])
def test_services_whose_secrets_are_lost_are_given_them_again(installation, victim, systemd, loss):  # noqa: F811
    names = [name for name, given in SERVICES.items() if not given.everything]
    before = {path: path.read_text() for name in names for path in (installation.home / "services" / name).iterdir()}
    with systemd, nothing_accepted_is_lost(installation, victim, what=f"secrets of services {loss}"):
        for name in names:
            folder = installation.home / "services" / name
            shutil.rmtree(folder)
            if loss == "emptied":
                folder.mkdir(0o700)
                os.chown(folder, LAUNCHDB, LAUNCHDB)
        docker_cli.run_docker("restart", *(NAMES[name] for name in names), timeout_seconds=300)
    assert {path: path.read_text() for path in before} == before
