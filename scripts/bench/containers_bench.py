"""Projects in containers: how soon one answers, twenty at once, what an idle one holds, how it wakes."""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.installation import default_home, settings_of
from infra.host import docker_cli
from scripts.bench import containers_floor
from scripts.bench.figures import Figure, exit_status, percentile, print_figures
from scripts.stack import edge

if TYPE_CHECKING:
    import httpx

    from config.settings import Settings

ROUNDS = 15
AT_ONCE = 20
IDLE = 50
SLEEPERS = 20
MOST_MB = 50.0
WAKE_SECONDS = 1.5
SLEEP_SECONDS = 240.0
ANSWER_SECONDS = 120.0


class Bench:
    """The installation as its operator and as its projects' clients see it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        operator = json.loads((settings.home / "operator.json").read_text())
        self.demo = str(operator["projectId"])
        self.visitor = edge.client(settings)
        self.http = edge.client(settings)
        known = {"email": operator["email"], "password": operator["password"]}
        answer = self.http.post("/api/auth/login", json=known)
        answer.raise_for_status()
        self.http.headers["Authorization"] = f"Bearer {answer.json()['accessToken']}"

    def create(self, name: str) -> dict[str, Any]:
        """Make a project and wait until it is active."""
        answer = self.http.post("/api/projects", json={"name": name, "poolSize": 2}, headers={"Prefer": "wait=60"})
        answer.raise_for_status()
        project: dict[str, Any] = answer.json()["project"]
        while project["status"] == "provisioning":
            project = self.http.get(f"/api/projects/{project['id']}").json()
        if project["status"] != "active":
            raise RuntimeError(f"{project['id']} became {project['status']}: {project['statusReason']}")
        return project

    def delete(self, projects: list[str]) -> None:
        """Delete projects for good; return once they are gone."""
        with ThreadPoolExecutor(4) as pool:
            list(
                pool.map(
                    lambda project: self.http.delete(
                        f"/api/projects/{project}?purge=true", headers={"Prefer": "wait=60"}
                    ),
                    projects,
                )
            )

    def asked(self, project: str, http: httpx.Client | None = None) -> float:
        """Ask a project for a table that it has not; return the milliseconds until its own catalogue says so."""
        began = time.perf_counter()
        deadline = time.monotonic() + ANSWER_SECONDS
        while (http or self.visitor).get(f"/db/{project}/none").json().get("code") != "PGRST205":
            if time.monotonic() > deadline:
                raise TimeoutError(f"{project} does not answer")
        return (time.perf_counter() - began) * 1000


def measure_provisioning(at: Bench) -> list[Figure]:
    """Time projects from the request to the first answered query, by turns with the floors."""
    ours, floor, made = [], [], []
    for number in range(ROUNDS):
        began = time.perf_counter()
        project = at.create(f"bench {number}")["id"]
        at.asked(project)
        ours.append((time.perf_counter() - began) * 1000)
        made.append(project)
        floor.append(containers_floor.container_ms(at.settings, at.demo) + containers_floor.sql_ms(1)[0])
    at.delete(made)
    p50, bare = percentile(ours, 0.5), percentile(floor, 0.5)
    return [
        Figure("request to first query, p50", p50, "ms", bare, "<= 1.3 x", p50 <= 1.3 * bare),
        Figure("request to first query, p95", percentile(ours, 0.95), "ms", percentile(floor, 0.95)),
    ]


def measure_burst(at: Bench) -> list[Figure]:
    """Ask for twenty projects at once; return how many became active a second."""
    began = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        made = [project["id"] for project in pool.map(lambda number: at.create(f"crowd {number}"), range(AT_ONCE))]
    seconds = time.perf_counter() - began
    at.delete(made)
    converged = len(set(made)) == AT_ONCE
    return [Figure(f"{AT_ONCE} at once", AT_ONCE / seconds, "projects/s", None, "all active", converged)]


def measure_idle_memory(at: Bench) -> tuple[list[Figure], list[str]]:
    """Make fifty projects; weigh each container with the processes that Docker adds to it."""
    with ThreadPoolExecutor(4) as pool:
        made = [project["id"] for project in pool.map(lambda number: at.create(f"idle {number}"), range(IDLE))]
    for project in made:
        at.asked(project)
    time.sleep(5)
    weights = [weight_mb(project) for project in made]
    ours = [weight[0] for weight in weights]
    whole = percentile([sum(weight) for weight in weights], 0.5)
    return [
        Figure(f"memory of one of {IDLE} idle projects, p50", percentile(ours, 0.5), "MB"),
        Figure("the same with Docker's own processes", whole, "MB", MOST_MB, "<= 50 MB", whole <= MOST_MB),
    ], made


def weight_mb(project: str) -> tuple[float, float]:
    """Return the proportional set size of a container's processes, and of Docker's processes for it, in MB."""
    shown = json.loads(docker_cli.run_docker("container", "inspect", f"postgrest-{project}"))[0]
    first = int(shown["State"]["Pid"])
    inside = [int(pid) for pid in docker_cli.run_docker("top", f"postgrest-{project}", "-eo", "pid").split()[1:]]
    shim = _parent(first)
    return sum(map(_pss_mb, inside)), _pss_mb(shim)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _pss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def measure_waking(at: Bench, projects: list[str]) -> list[Figure]:
    """Wait until projects sleep, then time their first requests, one after the other."""
    for project in projects:
        at.http.patch(f"/api/projects/{project}/settings", json={"idleMinutes": 1}).raise_for_status()
    deadline = time.monotonic() + SLEEP_SECONDS
    while any(at.http.get(f"/api/projects/{project}").json()["status"] != "sleeping" for project in projects):
        if time.monotonic() > deadline:
            raise TimeoutError("the projects do not fall asleep")
        time.sleep(2)
    left = [
        one for one in docker_cli.containers(name="postgrest-proj_") if one.name.removeprefix("postgrest-") in projects
    ]
    took = [at.asked(project) for project in projects]
    p95 = percentile(took, 0.95)
    return [
        Figure("containers of sleeping projects", float(len(left)), "", None, "0", not left),
        Figure("first request to a sleeping project, p50", percentile(took, 0.5), "ms"),
        Figure("first request to a sleeping project, p95", p95, "ms", None, "<= 1500 ms", p95 <= WAKE_SECONDS * 1000),
    ]


def main() -> int:
    """Measure and print; return 1 when an aim was missed."""
    at = Bench(settings_of(default_home()))
    figures = [*measure_provisioning(at), *measure_burst(at)]
    weighed, made = measure_idle_memory(at)
    try:
        figures += [*weighed, *measure_waking(at, made[:SLEEPERS])]
    finally:
        at.delete(made)
    print_figures("Projects in containers", figures)
    return exit_status(figures)


if __name__ == "__main__":
    sys.exit(main())
