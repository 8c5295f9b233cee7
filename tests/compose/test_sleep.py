"""A project that nobody asks has no container; its next request brings it back, is held meanwhile, and answered."""

from __future__ import annotations

import os
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from infra.host import docker_cli
from tests.compose.test_stack import _used, created, finished, keys, operator, sql  # noqa: F401 - one is a fixture
from tests.fixtures.installation import wait_for

pytestmark = pytest.mark.docker
WAKE_SECONDS = 10
# Fewer than may be held at a time.
AT_ONCE = 6


def let_be_idle(installation, project: str) -> None:
    """Have the last that was done with the project be some minutes ago."""
    ago = time.time() - 300
    for folder in (installation.settings.instances_folder, installation.home / "run" / "projects"):
        with suppress(FileNotFoundError):
            os.utime(folder / project / "last-request", (ago, ago))
    past = "now() - interval '5 minutes'"
    sql(installation, f"UPDATE projects SET updated_at = {past} WHERE id = '{project}'")
    sql(
        installation, f"UPDATE jobs SET finished_at = {past} WHERE project_id = '{project}' AND finished_at IS NOT NULL"
    )


def containers(project: str) -> list[str]:
    return [one.state for one in docker_cli.containers(name=f"postgrest-{project}$")]


@pytest.mark.timing
def test_an_idle_project_loses_its_container_until_somebody_asks(installation, operator):  # noqa: F811
    project = created(operator, f"idle {secrets.token_hex(4)}")["id"]
    _used(operator, project, 1)
    noted = (installation.home / "run" / "projects" / project / "last-request").stat()
    assert time.time() - noted.st_mtime < 30, "the container notes that it is asked"
    operator.patch(f"/api/projects/{project}/settings", json={"idleMinutes": 1}, headers={"Prefer": "wait=30"})
    let_be_idle(installation, project)
    wait_for(lambda: containers(project) == [], 60, "it does not fall asleep")
    key = operator.get(f"/api/projects/{project}/connection").json()["anonKey"]
    with installation.http() as client:
        assert client.get(f"/project/{project}/").status_code == 200
        assert client.head(f"/db/{project}/notes").status_code == 503
        assert client.get(f"/db/{project}/notes", headers={"User-Agent": "UptimeRobot/2.0"}).status_code == 503
    time.sleep(1)
    assert containers(project) == [], "who only looks wakes nobody"

    def ask() -> int:
        with installation.http(timeout=30) as client:
            return client.get(f"/project/{project}/rest/v1/notes", headers=keys(key)).status_code

    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert set(pool.map(lambda _: ask(), range(AT_ONCE))) == {200}
    took = time.monotonic() - began
    print(f"{AT_ONCE} first requests to a sleeping project: {took:.2f} s")
    assert took < WAKE_SECONDS
    woken = sql(installation, f"SELECT count(*) FROM jobs WHERE project_id = '{project}' AND kind = 'project.wake'")
    assert woken.strip() == "1"
    assert containers(project) == ["running"]
    finished(operator, operator.delete(f"/api/projects/{project}", params={"purge": "true"}))
