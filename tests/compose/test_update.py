"""Update and rollback while clients go on: one service after the other, and back again when the new one is not well."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from config.installation import read
from infra.host import docker_cli
from scripts.stack import checkout
from scripts.stack.stack import IMAGES, NAMES
from tests.compose.test_stack import sql
from tests.fixtures.installation import IN_IMAGE, wait_for

pytestmark = pytest.mark.docker

OLD = os.environ.get("LAUNCHDB_VERSION") or "0.1.0"
NEW, BROKEN = f"{OLD}-next", f"{OLD}-broken"
# What other tests leave of the machine decides how many come to be asked; of fewer than these nothing would follow.
PER_SECOND, LEAST, LEAST_WRITES = 40, 1500, 150
THREADS = 8
# Of so many requests one writes, by way of the platform API.
WRITES = 10


@dataclass
class Traffic:
    """Requests to the platform API and to a project, through Caddy, some forty a second."""

    answers: dict[int, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    written: int = 0

    @property
    def rate(self) -> float:
        """How many were answered in a second."""
        return sum(self.answers.values()) / (time.monotonic() - self.began)


@contextmanager
def traffic(installation):
    found, over, lock = Traffic(), threading.Event(), threading.Lock()
    key = {"apikey": installation.operator["anonKey"]}
    project = f"/project/{installation.operator['projectId']}/rest/v1/todos?select=title"
    settings = f"/api/projects/{installation.operator['projectId']}/settings"

    def ask(number: int) -> None:
        with installation.http() as client, closing(installation.signed_in()) as owner:
            turn = number
            while not over.is_set():
                began, turn = time.monotonic(), turn + 1
                writes = turn % WRITES == 0
                path, headers = (project, key) if turn % 2 else ("/api/health", {})
                try:
                    if writes:  # a change that changes nothing goes all the way, and leaves nothing to be done
                        status = owner.patch(settings, json={"idleMinutes": None}).status_code
                    else:
                        status = client.get(path, headers=headers).status_code
                except httpx.HTTPError as error:
                    status = 0
                    found.failures.append(f"{'a write' if writes else path}: {error!r}")
                with lock:
                    found.answers[status] = found.answers.get(status, 0) + 1
                    found.written += writes
                over.wait(max(0, THREADS / PER_SECOND - (time.monotonic() - began)))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        over.set()
        for thread in threads:
            thread.join()


def images_of(installation) -> dict[str, str]:
    return {one["name"]: one["image"] for one in installation.json("status")["containers"]}


# What is called by the compose file has another name in it, and is there under no other.
RENAMED = (
    "cd /opt/launchdb-app && mv infra/embedded/prepare.py infra/embedded/make_ready.py"
    " && sed -i s/infra.embedded.prepare/infra.embedded.make_ready/ compose/compose.yaml"
)


@pytest.fixture(scope="module")
def versions(installation):
    """Two more versions: one that is started otherwise, and one whose API does not start."""
    for image in (*IMAGES, "host"):
        for version in (NEW, BROKEN):
            docker_cli.run_docker("tag", f"launchdb/{image}:{OLD}", f"launchdb/{image}:{version}")
    for version, change in ((NEW, RENAMED), (BROKEN, "rm /opt/launchdb-app/app/factory.py")):
        subprocess.run(
            ["docker", "build", "-q", "--network", "none", "-t", f"launchdb/app:{version}", "-"],
            input=f"FROM launchdb/app:{OLD}\nUSER 0\nRUN {change}\nUSER 10001:10001\n",
            text=True,
            check=True,
            capture_output=True,
            env={**installation.environment, "DOCKER_BUILDKIT": "0"},
        )
    yield
    for image in (*IMAGES, "host"):
        for version in (NEW, BROKEN):
            docker_cli.run_docker("image", "rm", f"launchdb/{image}:{version}")


@pytest.mark.usefixtures("versions")
def test_an_update_fails_no_request_and_a_rollback_neither(installation):
    with traffic(installation) as during:
        done = installation.launchdb("update", NEW, "--no-backup", seconds=600)
        assert f"{NEW} runs" in done.stdout
        assert read(installation.home)["LAUNCHDB_VERSION"] == NEW
        changed = images_of(installation)
        assert changed["launchdb-platform-api"] == f"launchdb/app:{NEW}"
        # Postgres, PgBouncer, Redis and Caddy are the same program: clients are spared their restart.
        assert changed["launchdb-postgres"] == f"launchdb/postgres:{OLD}"
        # Back again as a host does it that has neither Python nor, in what runs there, git.
        installation.launchdb("rollback", seconds=600, **IN_IMAGE)
        rate = during.rate
    print(f"answers during update and rollback: {during.answers}, {during.written} writes, {rate:.0f} a second")
    assert (set(during.answers), during.failures) == ({200}, [])
    assert during.answers[200] >= LEAST
    assert during.written >= LEAST_WRITES
    assert images_of(installation)["launchdb-worker"] == f"launchdb/app:{OLD}"
    actions = sql(installation, "SELECT DISTINCT action FROM audit WHERE action LIKE 'platform.%'")
    assert {"platform.update", "platform.rollback"} <= set(actions.split())


@pytest.mark.usefixtures("versions")
def test_a_version_that_is_not_well_is_taken_back_by_itself(installation):
    done = installation.launchdb("update", BROKEN, "--no-backup", code=1, seconds=900)
    assert f"{OLD} runs again" in done.stderr
    assert f"{NAMES['migrations']} is restarting" in done.stderr, "who dies again and again is not waited for"
    assert read(installation.home)["LAUNCHDB_VERSION"] == OLD
    assert installation.launchdb("status").returncode == 0
    assert installation.rows().status_code == 200
    assert set(images_of(installation)) == set(NAMES.values())


def test_what_runs_is_kept_though_its_name_means_another_image_by_now(installation):
    kept, names = f"{OLD}-kept", (*IMAGES, "host")
    runs = docker_cli.run_docker("inspect", "--format", "{{.Image}}", NAMES["redis"]).strip()
    docker_cli.run_docker("tag", f"launchdb/caddy:{OLD}", f"launchdb/redis:{OLD}")
    try:
        checkout.tag_images(OLD, kept)
        assert (
            docker_cli.run_docker("image", "inspect", "--format", "{{.Id}}", f"launchdb/redis:{kept}").strip() == runs
        )
        assert checkout.is_running_version(kept)
        assert checkout.has_images(kept)
    finally:
        docker_cli.run_docker("tag", runs, f"launchdb/redis:{OLD}")
        docker_cli.run_docker("image", "rm", *(f"launchdb/{image}:{kept}" for image in names))


@pytest.mark.usefixtures("versions")
def test_an_update_that_was_killed_is_taken_back_and_nobody_else_is_let_in_meanwhile(installation):
    killed = subprocess.Popen(
        ["scripts/launchdb", "update", NEW, "--no-backup"],
        cwd=installation.clone,
        env=installation.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: read(installation.home)["LAUNCHDB_VERSION"] == NEW, 60)
        for command in ("down", "up --docker --detach", "rollback"):
            assert "`launchdb update`" in installation.launchdb(*command.split(), code=1).stderr
        image = ("inspect", "--format", "{{.Config.Image}}", NAMES["migrations"])
        wait_for(lambda: NEW in installation.command("docker", *image).stdout, 60)
    finally:
        killed.kill()
        killed.wait()
    said = installation.command("scripts/launchdb", "status").stderr
    assert f"`launchdb update {NEW}` goes on with it, `launchdb rollback {OLD}` goes back" in said
    assert f"{OLD} runs" in installation.launchdb("rollback", seconds=600).stdout
    assert "has not ended" not in installation.launchdb("status").stderr
    assert set(images_of(installation)) == set(NAMES.values())
    assert installation.rows().status_code == 200


def test_a_version_that_is_not_there_changes_nothing(installation):
    before = read(installation.home)
    for how in ({}, IN_IMAGE):
        done = installation.launchdb("update", "9.9.9", code=1, **how)
        assert "there is no version, tag or branch 9.9.9" in done.stderr
    assert read(installation.home) == before
    assert json.loads((installation.home / "operator.json").read_text()) == installation.operator
