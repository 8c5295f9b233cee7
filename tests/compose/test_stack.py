"""An installation in containers as its operator and its clients meet it: brought up once, from a clean clone."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from infra.edge.proxy import HELD_SECONDS, CaddyProxy
from infra.host import docker_cli
from infra.secrets import secretfiles
from scripts.stack import edge
from scripts.stack.stack import NAMES, wait_until_well
from tests.fixtures.installation import DOMAIN, IN_IMAGE, wait_for

pytestmark = pytest.mark.docker

TABLE = "CREATE TABLE notes (id int PRIMARY KEY, body text); GRANT ALL ON notes TO service_role; GRANT SELECT ON notes TO anon"


@pytest.fixture
def operator(installation):
    """The operator, signed in, through Caddy."""
    client = installation.signed_in()
    yield client
    client.close()


def keys(key: str) -> dict[str, str]:
    return {"apikey": key, "Authorization": f"Bearer {key}"}


def created(operator, name: str) -> dict:
    answer = operator.post("/api/projects", json={"name": name}, headers={"Prefer": "wait=60"})
    assert answer.status_code == 201, answer.text
    found = answer.json()
    return found.get("project", found)


def finished(operator, answer) -> dict:
    """The job of a 202, when it rests."""
    assert answer.status_code in (200, 202), answer.text
    job = answer.json()["job"]
    deadline = time.monotonic() + 120
    while job["status"] not in ("succeeded", "failed", "cancelled"):
        assert time.monotonic() < deadline, job
        job = operator.get(f"/api/jobs/{job['id']}", params={"wait": 10}).json()
    assert job["status"] == "succeeded", job
    return job


# --- started ---


def test_one_command_leads_from_a_clean_clone_to_an_answering_project(installation):
    said = installation.started.stderr
    print(f"scripts/run --docker from a clean clone: {installation.seconds:.1f} s")
    for line in ("secrets", "launchdb-postgres is healthy", "API answers on", "read it back with the public key"):
        assert line in said, said[-3000:]
    assert installation.operator["url"] == f"https://{DOMAIN}:{installation.settings.https_port}"
    assert installation.operator["databaseUrl"] == ""
    for name in ("operator.json", ".env"):
        assert (installation.home / name).stat().st_mode & 0o777 == 0o600
    assert {"title": "try LaunchDB"} in installation.rows().json()


def test_the_command_that_it_proposes_is_one_that_works(installation):
    proposed = next(line for line in installation.started.stdout.splitlines() if line.startswith("  curl "))
    name = f"{DOMAIN}:{installation.settings.https_port}:127.0.0.1"  # DNS does not know it
    done = installation.command("sh", "-c", f"{proposed} -fsS --resolve {name}")
    assert {"title": "try LaunchDB"}.items() <= json.loads(done.stdout)[0].items(), done.stderr


def test_every_container_has_its_name_and_is_well(installation):
    found = installation.json("status")
    assert {one["name"] for one in found["containers"]} == set(NAMES.values())
    assert {(one["state"], one["health"] or "healthy") for one in found["containers"]} == {("running", "healthy")}
    assert found["platform"]["projects"] == {"active": len(installation.stack.projects())}
    assert "launchdb-postgrest-manager" in installation.launchdb("status").stdout


def test_the_guide_s_verification_passes(installation):
    done = installation.json("verify", seconds=180)
    assert {step["outcome"] for step in done["steps"]} == {"passed"}, done
    assert len(done["steps"]) == 12


@pytest.mark.timing
def test_health_says_what_the_guide_expects(installation):
    with installation.http() as client:
        answer = client.get("/api/health")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok", "service": "platform-api"})
        assert "LaunchDB - API running." in client.get("/").text
        # What monitors of others ask, often and without a key.
        for path in ("/", "/api/health"):
            took = sorted(client.get(path).elapsed.total_seconds() for _ in range(9))
            assert took[4] < 0.2, path
    manager = httpx.get("http://127.0.0.1:9000/health").json()
    assert manager == {"status": "healthy", "service": "postgrest-manager"}
    metrics = httpx.get("http://127.0.0.1:9000/metrics").text
    assert {"launchdb_http_requests_total", "launchdb_certificate_expiry_seconds"} <= set(
        re.findall(r"launchdb_\w+", metrics)
    )


@pytest.mark.timing
@pytest.mark.parametrize("service", ["auth-service", "storage-service", "postgrest-manager"])
def test_a_service_that_is_told_to_stop_is_gone_within_seconds(installation, service):
    began = time.monotonic()
    docker_cli.run_docker("stop", NAMES[service])
    took = time.monotonic() - began
    docker_cli.run_docker("start", NAMES[service])
    wait_until_well(installation.stack, lambda _line: None)
    assert took < 5


def test_services_say_where_they_listen(installation):
    said = {
        name: docker_cli.run_docker("logs", name) for name in ("launchdb-platform-api", "launchdb-postgrest-manager")
    }
    errors = {name: installation.command("docker", "logs", name).stderr for name in said}
    assert re.search(
        r"[Ll]istening on port 8000|:8000", said["launchdb-platform-api"] + errors["launchdb-platform-api"]
    )
    assert "connected to the platform database" in said["launchdb-platform-api"] + errors["launchdb-platform-api"]
    both = said["launchdb-postgrest-manager"] + errors["launchdb-postgrest-manager"]
    assert re.search(r"[Ll]istening on port 9000|:9000", both)


def test_the_certificate_is_the_domain_s_and_not_for_long(installation):
    found = installation.certificate()
    assert ("DNS", DOMAIN) in found["subjectAltName"]
    ends = datetime.strptime(found["notAfter"], "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC)
    assert (ends - datetime.now(UTC)).days < 90
    own = {one["check"]: one for one in installation.json("doctor", "platform")["findings"]}
    assert set(own) == {"registration", "secrets", "certificate", "workers", "projects", "disk", "watchdog", "claims"}
    assert own["certificate"]["status"] == "ok"
    assert DOMAIN in own["certificate"]["evidence"]
    assert "Caddy Local Authority" in own["certificate"]["evidence"]


# --- reached ---


def test_nothing_but_caddy_is_published_beyond_loopback(installation):
    ids = docker_cli.run_docker("ps", "--quiet").split()
    shown = json.loads(docker_cli.run_docker("inspect", *ids))
    mine = [one for one in shown if one["Name"].startswith(("/launchdb-", "/postgrest-"))]
    published = {
        (one["Name"].lstrip("/"), bound["HostIp"], int(bound["HostPort"]))
        for one in mine
        for bindings in one["NetworkSettings"]["Ports"].values()
        for bound in bindings or ()
    }
    public = {(name, port) for name, address, port in published if address not in ("127.0.0.1", "::1")}
    settings = installation.settings
    assert public == {("launchdb-caddy", settings.http_port), ("launchdb-caddy", settings.https_port)}
    assert {port for _name, _address, port in published}.isdisjoint({5432, 6432})


@pytest.mark.parametrize("port", [5432, 6432, 8000, 8001, 8002, 8003, 9000, 2019, 6379])
def test_an_address_of_the_machine_shows_no_inner_port(installation, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        address = probe.getsockname()[0]
    with socket.socket() as probe:
        probe.settimeout(1)
        assert probe.connect_ex((address, port)) != 0


def test_psql_answers_straight_and_through_the_pooler(installation):
    password = secretfiles.current(installation.home / "secrets", "POSTGRES_SUPERUSER_PASSWORD")
    for host, port in (("postgres", 5432), ("pgbouncer", 6432)):
        address = f"host={host} port={port} user=postgres dbname=platform"
        script = f'read -r PGPASSWORD; export PGPASSWORD; exec psql "{address}" -Atc "SELECT 1"'
        found = docker_cli.execute(
            "launchdb-platform-api", ["sh", "-c", script], feed=f"{password}\n".encode(), seconds=30
        )
        assert found.strip() == "1"


@pytest.mark.parametrize("count", [4, pytest.param(10, marks=pytest.mark.full)])
def test_projects_are_made_at_once_used_and_removed_and_nothing_is_left(installation, operator, count):
    """Caddy, the project's own container, PgBouncer, Postgres; and back to nothing."""
    owners = json.loads(installation.launchdb("owners", "list", "--json").stdout)["owners"]
    known = next(owner for owner in owners if owner["email"] == installation.operator["email"])
    operator.patch(f"/api/admin/owners/{known['id']}", json={"maxProjects": 100})
    with ThreadPoolExecutor(count) as pool:
        projects = list(pool.map(lambda n: created(operator, f"shop {n}"), range(count)))
    running = {one.name for one in installation.stack.projects() if one.state == "running"}
    active = operator.get("/api/projects", params={"limit": 200}).json()["projects"]
    assert running == {f"postgrest-{project['id']}" for project in active}

    for number, project in enumerate(projects):
        _used(operator, project["id"], number)
    names = set(
        installation.command(
            "docker", "exec", "launchdb-worker", "ls", f"{installation.home}/run/projects"
        ).stdout.split()
    )
    assert {project["id"] for project in projects} <= names

    for project in projects:
        answer = operator.delete(f"/api/projects/{project['id']}", params={"purge": "true"})
        finished(operator, answer)
    for project in projects:
        assert left_of(installation, project["id"]) == []


def _used(operator, project: str, number: int) -> None:
    found = operator.get(f"/api/projects/{project}/connection").json()
    assert not found["databaseUrl"]
    assert operator.post(f"/api/projects/{project}/sql", json={"query": TABLE}).status_code == 200
    row = {"id": number, "body": secrets.token_hex(8)}
    service, anon = keys(found["serviceRoleKey"]), keys(found["anonKey"])
    path = f"/project/{project}/rest/v1/notes"
    wait_for(lambda: operator.post(path, json=row, headers=service).status_code in (201, 409), 20)
    for address in (path, f"/db/{project}/notes"):
        assert operator.get(address, headers=anon).json() == [row]


def left_of(installation, project: str) -> list[str]:
    """What bears the project's id: containers, databases, roles, pooler entries, sockets, files."""
    home = installation.home
    found = [one.name for one in docker_cli.containers(name=f"postgrest-{project}")]
    script = f"""SELECT datname FROM pg_database WHERE datname LIKE '{project}%'
        UNION SELECT rolname FROM pg_roles WHERE rolname LIKE '{project}%'"""
    found += sql(installation, script).split()
    found += [str(path) for path in home.rglob(f"*{project}*")]
    files = [home / "pgbouncer" / "pgbouncer.ini", home / "pgbouncer" / "userlist.txt", home / "caddy" / "Caddyfile"]
    found += [str(path) for path in files if path.exists() and project in path.read_text()]
    inventory = installation.command("scripts/launchdb", "db", "inventory", "--project", project, "--json")
    return found + [thing["name"] for thing in json.loads(inventory.stdout)["things"]]


def sql(installation, text: str) -> str:
    """What the administrator reads in the platform's database."""
    password = secretfiles.current(installation.home / "secrets", "POSTGRES_SUPERUSER_PASSWORD")
    script = 'read -r PGPASSWORD; export PGPASSWORD; exec psql "host=postgres user=postgres dbname=platform" -At -f -'
    return docker_cli.execute("launchdb-platform-api", ["sh", "-c", script], feed=f"{password}\n{text};\n".encode())


def test_a_backup_that_the_images_servers_have_made_is_good(installation):
    """These are another Postgres than that of the wheel, by which all other tests of backups are done."""
    installation.launchdb("backups", "create", "demo")
    done = installation.launchdb("backups", "verify", "demo")
    assert "is good" in done.stdout + done.stderr
    assert "note:" not in done.stdout + done.stderr, "nothing differs"


def test_a_project_s_container_says_what_it_listens_on(installation):
    name = f"postgrest-{installation.operator['projectId']}"
    done = installation.command("docker", "logs", name)
    assert re.search(r"(?i)listen", done.stdout + done.stderr), done.stdout + done.stderr


# --- secrets ---


def planted(installation) -> dict[str, str]:
    """Every secret of the installation and of its project."""
    folder = installation.home / "secrets"
    found = {name: secretfiles.current(folder, name) for name in secretfiles.NAMES}
    found |= {f"operator's {name}": installation.operator[name] for name in ("password", "serviceRoleKey")}
    configuration = installation.settings.instances_folder / installation.operator["projectId"] / "data-api.conf"
    uri = re.search(r"password='?([^'\s\"]+)|://[^:]+:([^@]+)@", configuration.read_text())
    return found | {"the project's database password": next(filter(None, uri.groups()))}


def test_nothing_that_docker_shows_holds_a_secret(installation):
    names = [one.name for one in [*docker_cli.containers(name="launchdb-"), *installation.stack.projects()]]
    images = sorted({one.image for one in docker_cli.containers(name="launchdb-")})
    shown = {
        "inspect": docker_cli.run_docker("inspect", *names),
        "images": "".join(docker_cli.run_docker("history", "--no-trunc", image) for image in images),
        "processes": "".join(docker_cli.run_docker("top", name, "-eo", "pid,args") for name in names),
        "environments": "".join(environments(names)),
    }
    for name in names:
        done = installation.command("docker", "logs", name)
        shown[f"log of {name}"] = done.stdout + done.stderr
    found = [
        (secret, place)
        for secret, value in planted(installation).items()
        for place, text in shown.items()
        if value in text
    ]
    assert found == []


def environments(names: list[str]) -> list[str]:
    """The environment of every process in these containers, as the kernel shows it."""
    pids = [pid for name in names for pid in docker_cli.run_docker("top", name, "-eo", "pid").split()[1:]]
    found = []
    for pid in pids:
        try:
            found.append(Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return found


def test_the_home_is_closed_to_others(installation):
    home = installation.home
    secret = [home / ".env", home / "secrets", *(home / "secrets").iterdir()]
    assert [str(path) for path in secret if path.stat().st_mode & 0o077] == []
    (copy,) = [
        path
        for path in Path("/root").glob("launchdb-secrets-*.txt")
        if planted(installation)["INTERNAL_API_KEY"] in path.read_text()
    ]
    assert copy.stat().st_mode & 0o777 == 0o400
    copy.unlink()


# --- operated ---


def test_logs_of_one_service_of_all_and_of_a_project(installation):
    lines = installation.launchdb("logs", "platform-api", "--timestamps", "--tail", "5").stdout.splitlines()
    assert lines
    assert all(re.match(r"20\d\d-\d\d-\d\dT", line) for line in lines)
    assert "launchdb-postgres | " in installation.launchdb("logs", "--tail", "20").stdout
    project = installation.operator["projectId"]
    about = installation.json("logs", "--project", project)["lines"]
    assert about
    assert all(project in line["text"] or line["container"] == f"postgrest-{project}" for line in about)
    assert installation.json("logs", "--grep", "no such line anywhere")["lines"] == []
    assert installation.launchdb("logs", "nobody", code=5).stderr


def test_logs_are_rotated(installation):
    shown = json.loads(
        docker_cli.run_docker("inspect", *NAMES.values(), *(one.name for one in installation.stack.projects()))
    )
    for one in shown:
        config = one["HostConfig"]["LogConfig"]
        assert config["Type"] == "json-file"
        assert config["Config"] == {"max-size": "10m", "max-file": "3"}, one["Name"]


def test_commands_on_the_host_reach_what_is_inside(installation):
    assert installation.launchdb("db", "dsn").stdout.startswith("postgresql://postgres:")
    assert installation.json("projects", "show", "demo")["id"] == installation.operator["projectId"]
    assert installation.json("db", "schema")["migrations"][0]["version"] == "0001_baseline"
    assert installation.launchdb("secrets", "check", "--acknowledge").returncode == 0


def test_a_host_without_python_sees_and_does_the_same(installation):
    names = {one["name"]: one["health"] for one in installation.json("status")["containers"]}
    assert {one["name"]: one["health"] for one in installation.json("status", **IN_IMAGE)["containers"]} == names
    assert installation.json("projects", "show", "demo", **IN_IMAGE)["id"] == installation.operator["projectId"]
    told = [
        installation.command("scripts/launchdb", "doctor", "host", "--json", **how).stdout for how in ({}, IN_IMAGE)
    ]
    found = [{(one["check"], one["subject"], one["status"]) for one in json.loads(out)["findings"]} for out in told]
    assert found[0] == found[1]
    assert {step["outcome"] for step in installation.json("verify", seconds=180, **IN_IMAGE)["steps"]} == {"passed"}


def test_caddy_takes_up_another_configuration_without_a_restart(installation, operator):
    def started() -> str:
        return docker_cli.run_docker("inspect", "--format", "{{.State.StartedAt}}", NAMES["reverse-proxy"])

    before, body = started(), {"name": "x" * 70_000}
    # Whoever would put it right by themselves.
    docker_cli.run_docker("stop", NAMES["worker"])
    smaller = installation.settings.model_copy(update={"max_body_bytes": 2048})
    assert CaddyProxy(smaller).apply() is True
    assert operator.post("/api/projects", json=body).status_code == 413
    assert "Caddy has read its new file" in installation.launchdb("up", "--docker", "--detach", seconds=300).stderr
    assert operator.post("/api/projects", json=body).status_code == 422
    assert started() == before
    assert installation.launchdb("status").returncode == 0


@pytest.fixture(scope="module")
def another_home(installation):
    """What `launchdb init` makes where nobody has said that there is an installation already."""
    home = installation.clone.parent / "other"
    installation.launchdb("init", "--copy-to", str(installation.clone.parent), LAUNCHDB_HOME=str(home))
    yield home
    shutil.rmtree(home)


@pytest.mark.parametrize(
    "words",
    [
        "status",
        "down",
        "up --docker --detach",
        "logs --tail 1",
        "doctor --fix",
        "jobs list",
    ],
)
def test_commands_of_another_home_leave_the_containers_of_this_one_alone(installation, another_home, words):
    before = {one.name: one.since for one in installation.stack.containers()}
    said = installation.launchdb(*words.split(), code=1, LAUNCHDB_HOME=str(another_home)).stderr
    assert f"belong to the installation in {installation.home}" in said
    assert {one.name: one.since for one in installation.stack.containers()} == before


@pytest.mark.parametrize("words", ["down", "up --docker --detach", "status"])
def test_nor_do_they_touch_them_without_python(installation, another_home, words):
    said = installation.launchdb(*words.split(), code=1, LAUNCHDB_HOME=str(another_home), **IN_IMAGE).stderr
    assert f"belong to the installation in {installation.home}" in said


def test_a_service_that_is_still_being_stopped_when_a_start_looks_at_it_runs_in_the_end(installation):
    """As it is when an update is interrupted while Compose stops a container, and goes back."""
    auth, told = NAMES["auth-service"], []
    docker_cli.run_docker("stop", auth)
    wait_until_well(installation.stack, told.append, services=["auth-service"], seconds=60)
    assert told == [f"{auth} was stopped; starting it", f"{auth} is healthy (1 of 1)"]


def test_everything_goes_down_and_every_project_comes_back(installation, operator, another_home):
    begun = operator.post("/api/projects", json={"name": f"begun {secrets.token_hex(4)}"}).json()
    installation.launchdb("down", seconds=240)
    assert [one.name for one in docker_cli.containers(name="launchdb-")] == []
    assert [one.name for one in installation.stack.projects() if one.state == "running"] == []
    assert "was not running" in installation.launchdb("down").stdout
    assert installation.command("scripts/mend").stderr == "", "what was stopped on purpose stays so"
    assert [one.name for one in docker_cli.containers(name="launchdb-")] == []
    for words in ("jobs list", "update", "rollback", "logs"):
        done = installation.command("scripts/launchdb", *words.split())
        assert done.returncode != 0
        assert re.search(r"does not run|no containers", done.stderr), done.stderr
    done = installation.command("scripts/launchdb", "update", **IN_IMAGE)
    assert "does not run" in done.stderr
    assert "building" not in done.stderr, "the next start would run it unverified"
    # What is in the volume is this home's, and no other's to start with.
    said = installation.launchdb("up", "--docker", "--detach", code=1, LAUNCHDB_HOME=str(another_home)).stderr
    assert "holds the databases of an installation with other secrets" in said
    began = time.monotonic()
    told = told_while(installation, installation.start)
    print(f"scripts/run --docker again, with images and home: {time.monotonic() - began:.1f} s")
    taken = [one for one in told if one.status]
    started = docker_cli.run_docker("inspect", "--format", "{{.State.StartedAt}}", NAMES["platform-api"])
    api = datetime.fromisoformat(f"{started.strip()[:26]}+00:00").timestamp()
    again = sum(one.status == httpx.codes.SERVICE_UNAVAILABLE for one in taken)
    print(
        f"clients were taken {api - taken[0].at:.1f} s before there was an API; of {len(taken)} {again} were told to come again"
    )
    assert taken[0].at < api, "Caddy begins first"
    assert [one for one in told if one.at > taken[0].at and not one.status] == [], "nobody is refused from then on"
    assert {(one.status, one.retry_after) for one in taken} <= {(503, "1"), (200, None)}, "they wait, or are told when"
    wait_for(lambda: installation.rows().status_code == 200, 60)
    assert installation.launchdb("status").returncode == 0
    # What was under way when it went down is done now.
    job = wait_for(lambda: _ended(operator, begun["job"]["id"]), 60, "the job does not go on")
    assert job["status"] == "succeeded", job
    finished(operator, operator.delete(f"/api/projects/{begun['project']['id']}", params={"purge": "true"}))


@dataclass(frozen=True)
class Told:
    """What a client was told that came at a moment; status 0: nobody took its connection."""

    at: float
    status: int
    retry_after: str | None
    seconds: float


def told_while(installation, act) -> list[Told]:
    """Return what clients are told that come four times a second while something is done, in the order in which they came."""

    def ask() -> Told:
        at, status, again = time.time(), 0, None
        try:
            with installation.http(timeout=HELD_SECONDS + 30) as client:
                answer = client.get("/api/health")
            status, again = answer.status_code, answer.headers.get("Retry-After")
        except httpx.ConnectError:
            pass
        return Told(at, status, again, time.time() - at)

    with ThreadPoolExecutor(1) as main, ThreadPoolExecutor(400) as clients:
        acting, asked = main.submit(act), []
        while not acting.done():
            asked.append(clients.submit(ask))
            time.sleep(0.25)
        acting.result()
        return [one.result() for one in asked]


def _ended(operator, job: str) -> dict | None:
    found = operator.get(f"/api/jobs/{job}").json()
    return found if found["status"] in ("succeeded", "failed", "cancelled") else None


def test_starting_everything_at_once_converges(installation):
    """`docker restart` knows no order."""
    docker_cli.run_docker("restart", *NAMES.values(), timeout_seconds=300)
    wait_for(lambda: edge.answers(installation.settings), 120)
    wait_for(lambda: installation.command("scripts/launchdb", "status").returncode == 0, 120)
    wait_for(lambda: installation.rows().status_code == 200, 60)
