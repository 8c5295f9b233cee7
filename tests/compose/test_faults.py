"""What befalls a server behind our back is put right within a minute, or said; nobody else's clients notice."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from infra import files
from infra.host import docker_cli
from infra.host.home import LAUNCHDB
from infra.pooler import pooler_files
from infra.secrets import secretfiles
from scripts.stack.stack import NAMES
from tests.compose.clients import Clients
from tests.compose.test_stack import created, finished, keys, left_of, operator, sql  # noqa: F401 - one is a fixture
from tests.fixtures.installation import wait_for

pytestmark = pytest.mark.docker

HEALED_SECONDS = 60
TABLE = (
    "CREATE TABLE notes (id int PRIMARY KEY); INSERT INTO notes VALUES (1); GRANT SELECT ON notes TO anon;"
    " GRANT ALL ON notes TO service_role"
)
WORKER, BROKER, CADDY = NAMES["worker"], NAMES["broker"], NAMES["reverse-proxy"]
POOLER = NAMES["pgbouncer"]
DOCKER_PID = Path("/var/run/docker.pid")


class Project:
    """One that has a row, and whom a client asks for it."""

    def __init__(self, installation, http, name: str) -> None:
        self.installation = installation
        self.id = created(http, name)["id"]
        self.container = f"postgrest-{self.id}"
        self.path = f"/project/{self.id}/rest/v1/notes?select=id"
        self.key = http.get(f"/api/projects/{self.id}/connection").json()["anonKey"]
        assert http.post(f"/api/projects/{self.id}/sql", json={"query": TABLE}).status_code == 200
        wait_for(self.answers, 20)

    def answers(self) -> bool:
        with self.installation.http(timeout=20) as http:
            answer = http.get(self.path, headers=keys(self.key))
        return answer.status_code == 200 and answer.json() == [{"id": 1}]


@pytest.fixture(scope="module")
def project(installation):
    """The makers of projects of this module, which are gone afterwards."""
    made = []

    def make() -> Project:
        with closing(installation.signed_in()) as http:
            made.append(Project(installation, http, f"fault {secrets.token_hex(4)}"))
        return made[-1]

    owners = installation.json("owners", "list")["owners"]
    known = next(owner for owner in owners if owner["email"] == installation.operator["email"])
    with closing(installation.signed_in()) as http:
        assert http.patch(f"/api/admin/owners/{known['id']}", json={"maxProjects": 100}).status_code == 200
    yield make
    with closing(installation.signed_in()) as http:
        for one in made:
            finished(http, http.delete(f"/api/projects/{one.id}", params={"purge": "true"}))


@pytest.fixture(scope="module")
def victim(project):
    return project()


@pytest.fixture
def neighbour(installation):
    """Clients of the project `demo`, all the time; nothing may happen to them."""
    path = f"/project/{installation.operator['projectId']}/rest/v1/todos?select=title"
    with Clients(installation, [(path, installation.operator["anonKey"])]) as clients:
        yield clients
    print(f"the neighbour's clients: {clients}")
    assert clients.failures == []
    assert clients.answered > 0


def healed(probe, what: str) -> None:
    """Wait until it is right again, a minute at most, and say how long it took."""

    def well() -> bool:
        try:
            return bool(probe())
        except httpx.TransportError:
            return False

    began = time.monotonic()
    wait_for(well, HEALED_SECONDS, f"{what}: not right again after {HEALED_SECONDS} s")
    print(f"{what}: right again after {time.monotonic() - began:.1f} s")


def state(name: str) -> str:
    found = [one.state for one in docker_cli.containers(name=f"{name}$")]
    return found[0] if found else "missing"


def is_well(name: str) -> bool:
    return all(one.is_well for one in docker_cli.containers(name=f"{name}$"))


def starts(installation) -> dict[str, str | None]:
    """When each container of the installation was started."""
    stack = installation.stack
    return {one.name: one.since for one in [*stack.containers(), *stack.projects()]}


def doctored(installation, check: str) -> list[str]:
    """What `launchdb doctor <check> --fix` says that it did."""
    done = installation.command("scripts/launchdb", "doctor", check, "--fix", "--json")
    assert done.stdout, done.stderr
    return json.loads(done.stdout)["fixed"]


# --- containers of projects ---


def began(container: str) -> str:
    return docker_cli.run_docker("inspect", "--format", "{{.State.StartedAt}}", container)


@pytest.mark.usefixtures("neighbour")
def test_project_containers_that_were_removed_killed_and_stopped_serve_again(project, victim):
    killed, stopped = project(), project()
    before = {one.container: began(one.container) for one in (victim, killed, stopped)}
    docker_cli.run_docker("rm", "--force", victim.container)
    docker_cli.run_docker("kill", killed.container)
    docker_cli.run_docker("stop", stopped.container)
    for one, act in ((victim, "removed"), (killed, "killed"), (stopped, "stopped")):
        healed(one.answers, f"a container that was {act}")
        assert began(one.container) != before[one.container]


@pytest.mark.timing
@pytest.mark.parametrize("act", [("kill",), ("rm", "--force")])
def test_an_end_of_a_container_that_nobody_asks_is_heard_within_two_seconds(installation, victim, act):
    """Long before the sweep, and before a client has to wait for it."""
    with closing(installation.signed_in()) as http:

        def seen_to() -> list[dict]:
            jobs = http.get("/api/jobs", params={"projectId": victim.id, "kind": "project.reconcile"}).json()["jobs"]
            return [job for job in jobs if datetime.fromisoformat(job["createdAt"]).timestamp() > at]

        at = time.time()
        docker_cli.run_docker(*act, victim.container)
        [job] = wait_for(seen_to, HEALED_SECONDS)
        assert datetime.fromisoformat(job["createdAt"]).timestamp() - at < 2
        wait_for(lambda: http.get(f"/api/jobs/{job['id']}").json()["status"] == "succeeded", HEALED_SECONDS)
    took = (
        datetime.fromisoformat(
            docker_cli.run_docker("inspect", "--format", "{{.State.StartedAt}}", victim.container).strip()[:26] + "Z"
        ).timestamp()
        - at
    )
    print(f"a container after {act[0]}: started again after {took:.1f} s")
    assert victim.answers()


def test_a_stranger_in_a_container_s_place_is_left_alone_and_the_doctor_mends_once_it_is_gone(installation, victim):
    docker_cli.run_docker("rm", "--force", victim.container)
    stranger = docker_cli.run_docker("run", "--detach", "--name", victim.container, "--network", "none", "debian:trixie-slim",
                             "sleep", "1000").strip()  # fmt: skip
    try:
        what = "a stranger is noticed"
        healed(lambda: "is not ours" in installation.launchdb("doctor", "projects").stdout, what)
        [said] = doctored(installation, "projects")
        assert said.startswith("projects: project.reconcile failed (")
        assert "is not ours" in said
        assert (
            docker_cli.run_docker("ps", "--quiet", "--no-trunc", "--filter", f"name={victim.container}").strip()
            == stranger
        )
    finally:
        docker_cli.run_docker("rm", "--force", stranger)
    assert doctored(installation, "projects") == ["projects: project.reconcile succeeded"]
    assert victim.answers()
    assert "all are as they should be" in installation.launchdb("doctor", "projects").stdout


def test_the_whole_doctor_looks_at_the_machine_and_at_the_containers_with_and_without_python(installation):
    known = {
        line["check"]
        for line in json.loads(installation.command("scripts/launchdb", "doctor", "--json").stdout)["findings"]
    }
    assert {"host.os", "service.health", "data-api.image", "manager.folders", "pooler.config", "projects"} <= known
    os_named = installation.launchdb("doctor", "host.os").stdout
    assert installation.launchdb("doctor", "host.os", LAUNCHDB_HOST_IMAGE="yes").stdout == os_named


# --- the pooler's file ---


def pooler_file(installation) -> Path:
    return installation.home / "pgbouncer" / "pgbouncer.ini"


def spoil(installation, damage: str) -> None:
    path = pooler_file(installation)
    text = path.read_text()
    spoilt = {"emptied": "", "truncated": text[: len(text) // 2], "garbage": "\x00garbage = [\n" * 40}
    path.write_text(spoilt[damage])


def is_whole(installation) -> bool:
    """Whether the file is whole, names just the projects that are served, and PgBouncer serves them."""
    file = pooler_file(installation)
    text = file.read_text() if file.exists() else ""
    if pooler_files.faults(text):
        return False
    named = {name for name in pooler_files.parse_configuration(text)["databases"] if name.startswith("proj_")}
    return named == {one.name.removeprefix("postgrest-") for one in installation.stack.projects()}


@pytest.mark.parametrize(
    "damage",
    ["truncated", pytest.param("emptied", marks=pytest.mark.full), pytest.param("garbage", marks=pytest.mark.full)],
)
@pytest.mark.usefixtures("neighbour")
def test_a_spoilt_pooler_file_is_whole_again(installation, victim, damage):
    assert is_whole(installation)
    spoil(installation, damage)
    assert not is_whole(installation)
    healed(lambda: is_whole(installation), f"a pooler file that was {damage}")
    assert victim.answers()


@pytest.mark.parametrize(
    "damage",
    ["garbage", pytest.param("emptied", marks=pytest.mark.full), pytest.param("truncated", marks=pytest.mark.full)],
)
@pytest.mark.usefixtures("neighbour")
def test_the_doctor_mends_a_spoilt_pooler_file_at_once(installation, victim, damage):
    told: list[str] = []
    for _ in range(3):  # what is looked at by itself twice a minute may be mended before the doctor comes
        spoil(installation, damage)
        told = doctored(installation, "pooler.config")
        assert is_whole(installation)
        if told:
            break
    assert [line for line in told if "pgbouncer.ini" in line], told
    assert victim.answers()
    installation.launchdb("doctor", "pooler.config")


# --- files that a service is started with ---


def spoilt(path: Path, how: str) -> None:
    if how == "lost":
        path.unlink()
    else:
        path.write_text("\x00garbage = [\n" * 40)


@pytest.mark.parametrize("how", ["lost", "garbage"])
def test_caddy_whose_file_is_spoilt_starts_with_what_it_took_before_and_gets_it_anew(installation, victim, how):
    path = installation.home / "caddy" / "Caddyfile"
    before = path.read_text()
    # It is kept once Caddy is seen to serve it.
    wait_for(lambda: files.holds(path.with_suffix(".1"), before), HEALED_SECONDS)
    spoilt(path, how)
    docker_cli.restart(CADDY)
    healed(victim.answers, f"Caddy whose file was {how}")
    healed(lambda: files.holds(path, before), f"Caddy's file that was {how}")

    def kept():
        return [one.read_text() for one in path.parent.glob("Caddyfile.*")]

    wait_for(lambda: before in kept(), HEALED_SECONDS)
    assert not any("garbage" in text for text in kept())


@pytest.mark.parametrize("how", ["lost", "garbage"])
def test_a_pooler_whose_files_are_spoilt_starts_with_what_it_took_before(installation, victim, how):
    wait_for(lambda: is_whole(installation), HEALED_SECONDS)
    folder = installation.home / "pgbouncer"
    for name in ("pgbouncer.ini", "userlist.txt"):
        spoilt(folder / name, how)
    began = time.monotonic()
    # Whoever would write them anew stands still meanwhile.
    docker_cli.run_docker("pause", NAMES["worker"])
    try:
        docker_cli.restart(POOLER)
        wait_for(lambda: is_well(POOLER), HEALED_SECONDS)
    finally:
        docker_cli.run_docker("unpause", NAMES["worker"])
    healed(victim.answers, f"a pooler whose files were {how}")
    print(f"a pooler whose files were {how} serves after {time.monotonic() - began:.1f} s")
    healed(lambda: is_whole(installation), f"the pooler's file that was {how}")
    assert "going on with" in docker_cli.tail(POOLER, 50), "not what the platform has written meanwhile"


# --- containers that somebody has removed ---


def test_what_was_removed_is_made_anew_by_what_systemd_runs_each_minute(installation, victim):
    before = starts(installation)
    docker_cli.run_docker("rm", "--force", POOLER)
    docker_cli.run_docker("stop", NAMES["storage-service"])
    done = installation.command("scripts/mend")
    assert done.returncode == 0, done.stderr
    [named] = re.findall(r"not running: (.*)\n", done.stderr)
    assert set(named.split()) == {POOLER, NAMES["storage-service"]}
    assert done.stdout == "", "systemd would write it down: no password, no key"
    healed(victim.answers, "a pooler that was removed")
    after = starts(installation)
    for name in (POOLER, NAMES["storage-service"]):
        assert after.pop(name) != before.pop(name)
    assert after == before
    assert installation.command("scripts/mend").stderr == "", "nothing is to be done"


@pytest.mark.parametrize("act", [("kill",), ("rm", "--force")])
def test_what_alone_is_removed_or_killed_is_made_anew_as_soon_as_docker_says_so(installation, victim, act):
    before = starts(installation)
    with following(installation) as said:
        at = time.time()
        docker_cli.run_docker(*act, POOLER)
        wait_for(lambda: POOLER in said.read_text(), HEALED_SECONDS, "it is not heard")
        healed(victim.answers, f"a pooler after {act[0]}")
        wait_for(lambda: is_well(POOLER), HEALED_SECONDS)
        # Whoever makes one anew starts all that is stopped until then.
        wait_for(lambda: nobody_is_at_work(installation), 300)
        # Whoever stops one, or several, has a reason: that is left to the look each minute.
        docker_cli.run_docker("stop", NAMES["storage-service"])
        time.sleep(2)
        assert state(NAMES["storage-service"]) == "exited"
        docker_cli.run_docker("start", NAMES["storage-service"])
    after = starts(installation)
    print(f"a pooler after {act[0]}: started after {datetime.fromisoformat(after[POOLER]).timestamp() - at:.1f} s")
    for name in (POOLER, NAMES["storage-service"]):
        assert after.pop(name) != before.pop(name)
    assert after == before
    healed(lambda: is_well(NAMES["storage-service"]), "the other one")


@contextmanager
def following(installation):
    """What launchdb-events.service runs; yields the file of what it says."""
    said = installation.home.parent / "events.log"
    with said.open("wb") as out:
        running = subprocess.Popen(
            ["scripts/mend", "--follow"], cwd=installation.clone, env=installation.environment, stderr=out,
            start_new_session=True,
        )  # fmt: skip
    try:
        # It is told of all that has happened since it knew its arguments.
        wait_for(lambda: "docker" in programs_of(running.pid))
        yield said
    finally:
        os.killpg(running.pid, signal.SIGTERM)
        running.wait(10)


def programs_of(group: int) -> set[str]:
    """What the processes of a group run."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            name, _, rest = path.read_text().partition("(")[2].rpartition(") ")
            found |= {name} if int(rest.split()[2]) == group else set()
    return found


def nobody_is_at_work(installation) -> bool:
    """Whether no command of the host works on the containers."""
    lock = installation.home / ".command.lock"
    return subprocess.run(["flock", "--nonblock", lock, "true"], check=False).returncode == 0


# --- the platform's own services ---


def test_caddy_that_was_stopped_is_named_and_started_by_the_doctor(installation, victim):
    """`docker stop` means it: nobody starts a container again that was stopped so. The operator does."""
    before = starts(installation)
    docker_cli.run_docker("stop", CADDY)
    found = installation.json("doctor", "service.health", code=1)["findings"]
    assert [one["subject"] for one in found if one["status"] == "failure"] == [CADDY]
    assert state(CADDY) == "exited"
    assert f"{CADDY} is exited: see `launchdb logs reverse-proxy`" in installation.launchdb("status", code=1).stderr
    assert f"service.health: {CADDY} restarted" in doctored(installation, "service.health")
    healed(victim.answers, "Caddy, once it was started")
    healed(lambda: is_well(CADDY), "Caddy's own health")
    after = starts(installation)
    assert after.pop(CADDY) != before.pop(CADDY)
    assert after == before


@pytest.mark.usefixtures("neighbour")
def test_a_creation_waits_for_the_broker_and_says_so(installation, operator):  # noqa: F811
    docker_cli.run_docker("stop", BROKER)
    answer = operator.post("/api/projects", json={"name": f"fault {secrets.token_hex(4)}"})
    assert answer.status_code == 202, answer.text
    project, job = answer.json()["project"]["id"], answer.json()["job"]["id"]

    def why() -> str:
        found = operator.get(f"/api/jobs/{job}").json()
        return json.dumps([found["waitingFor"], found["error"]]) if found["status"] != "running" else ""

    wait_for(
        lambda: "docker" in why().lower() or "broker" in why().lower(), 30, "the job does not say what it waits for"
    )
    print(f"a creation without the broker: {why()}")
    time.sleep(3)  # long enough for more than one attempt
    assert operator.get(f"/api/jobs/{job}").json()["status"] in ("queued", "retrying", "running")
    assert doctored(installation, "service.health") == [f"service.health: {BROKER} restarted"]
    healed(lambda: operator.get(f"/api/jobs/{job}").json()["status"] == "succeeded", "a creation, with the broker back")
    finished(operator, operator.delete(f"/api/projects/{project}", params={"purge": "true"}))
    assert left_of(installation, project) == []


@pytest.mark.usefixtures("neighbour")
def test_a_worker_that_dies_comes_back_by_itself_and_one_that_was_killed_by_the_doctor(installation):
    began = starts(installation)[WORKER]
    installation.command("docker", "exec", WORKER, "sh", "-c", "kill -9 -1")
    healed(lambda: starts(installation)[WORKER] != began and state(WORKER) == "running", "a worker that died")
    docker_cli.run_docker("kill", WORKER)  # to Docker that is a stop
    assert f"service.health: {WORKER} restarted" in doctored(installation, "service.health")
    assert state(WORKER) == "running"


def done(http, answer) -> bool:
    """Wait for a job; say whether somebody had to retry it, since three workers had died while they ran it."""
    job, retried = answer.json()["job"]["id"], False
    deadline = time.monotonic() + 180
    while (found := http.get(f"/api/jobs/{job}", params={"wait": 5}).json())["status"] != "succeeded":
        assert time.monotonic() < deadline, found
        if found["status"] == "failed":
            assert "workers died while they ran this job" in found["error"]["detail"], found
            assert http.post(f"/api/jobs/{job}/retry").status_code in (200, 202)
            retried = True
    return retried


@pytest.mark.usefixtures("neighbour")
@pytest.mark.parametrize("times", [4, pytest.param(10, marks=pytest.mark.full)])
def test_workers_killed_again_and_again_finish_what_was_begun(installation, times):
    """One that kills its third worker is given up, and undone; its owner retries it."""

    def life(number: int) -> tuple[str, int]:
        """Create a project and delete it; return its id, and how often a job of it had to be retried."""
        with closing(installation.signed_in()) as http:
            answer = http.post("/api/projects", json={"name": f"fault {number} {secrets.token_hex(4)}"})
            project = answer.json()["project"]["id"]
            retried = done(http, answer)
            return project, retried + done(http, http.delete(f"/api/projects/{project}", params={"purge": "true"}))

    began = time.monotonic()
    with ThreadPoolExecutor(6) as pool:
        lives = [pool.submit(life, number) for number in range(6)]
        for _ in range(times):
            docker_cli.run_docker("kill", WORKER)
            docker_cli.run_docker("start", WORKER)
            time.sleep(4)
        ended = [one.result() for one in lives]
    retried = sum(more for _project, more in ended)
    print(
        f"{times} workers killed, six projects made and deleted: {time.monotonic() - began:.1f} s, {retried} jobs retried"
    )
    for project, _retried in ended:
        assert left_of(installation, project) == []
    wait_for(lambda: installation.command("scripts/launchdb", "status").returncode == 0, HEALED_SECONDS)


# --- Docker itself ---


def dockerd() -> int:
    """The process of Docker that a test may restart, by whoever has said so; it was started by hand."""
    if os.environ.get("LAUNCHDB_TEST_MAY_RESTART_DOCKER") != "yes":
        pytest.skip("LAUNCHDB_TEST_MAY_RESTART_DOCKER=yes lets it restart Docker")
    if Path("/run/systemd/system").exists() or not DOCKER_PID.exists():
        pytest.skip("Docker belongs to an init system, or runs elsewhere")
    return int(DOCKER_PID.read_text())


def has_ended(pid: int) -> bool:
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def restart_docker() -> None:
    pid = dockerd()
    argv = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
    assert Path(argv[0]).name == "dockerd"
    log = Path(f"/proc/{pid}/fd/1").resolve()
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: has_ended(pid), 120)
    with log.open("ab") as out:
        # It is nobody's child, as before.
        subprocess.run(["setsid", "--fork", *argv], stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=True)
    wait_for(lambda: subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0, 60)


@pytest.mark.full
def test_docker_restarted_brings_projects_back_and_leaves_paused_ones_asleep(installation, project, victim):
    dockerd()
    others = set(docker_cli.run_docker("ps", "--format", "{{.Names}}").split()) - set(starts(installation))
    if others:
        pytest.skip(f"somebody else uses Docker: {', '.join(sorted(others))}")
    paused = project()
    with closing(installation.signed_in()) as http:
        finished(http, http.post(f"/api/projects/{paused.id}/pause"))
    assert state(paused.container) == "missing"
    restart_docker()
    healed(victim.answers, "a project, with Docker back")
    healed(lambda: installation.rows().status_code == 200, "the other one")
    healed(lambda: all(is_well(name) for name in NAMES.values()), "every service of the platform")
    assert state(paused.container) == "missing"
    with closing(installation.signed_in()) as http:
        assert http.get(f"/api/projects/{paused.id}").json()["status"] == "paused"
        finished(http, http.post(f"/api/projects/{paused.id}/resume"))
    healed(paused.answers, "the paused one, once it was resumed")


# --- another size ---


@pytest.mark.usefixtures("neighbour")
def test_more_connections_are_one_setting_and_no_client_of_a_project_fails_while_postgres_is_restarted(installation):
    before, dotenv = installation.json("capacity"), installation.home / ".env"
    text = secretfiles.with_lines(dotenv.read_text(), {"POSTGRES_MAX_CONNECTIONS": "1000"})
    files.replace(dotenv, text, owner=(LAUNCHDB, LAUNCHDB))
    said = installation.launchdb("up", "--docker", "--detach").stderr
    assert "Postgres is restarted: workers end their steps, clients of projects wait" in said
    assert sql(installation, "SHOW max_connections").strip() == "1000"
    after = installation.json("capacity")
    assert after["connections"]["max"] == 1000
    assert after["memoryMb"] == before["memoryMb"] + 500, "a megabyte each"
    assert "platform.restart" in {
        line["action"] for line in installation.json("audit", "list", "--limit", "20")["audit"]
    }
    began = starts(installation)
    assert "is restarted" not in installation.launchdb("up", "--docker", "--detach").stderr
    assert starts(installation) == began, "nothing differs now"
