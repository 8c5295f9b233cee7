"""Each service's container taken over in turn: what runs in it, with its rights, reaches what docs/security.md says, and no more."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from config.settings import CHECKOUT
from infra import files
from infra.host import docker_cli
from infra.host.home import LAUNCHDB
from infra.secrets import secretfiles
from infra.secrets.service_folders import deal_out
from infra.secrets.services import LOGINS, SERVICES, SUPERUSER
from scripts.stack.stack import NAMES
from tests.fixtures.installation import wait_for

pytestmark = pytest.mark.docker

PAGE = (CHECKOUT / "docs" / "security.md").read_text()
PROBE = (Path(__file__).parent / "probe.pl").read_text()
SECRETS = (*secretfiles.NAMES, *secretfiles.OWN, secretfiles.STORE_SECRET)
SOCKETS = {
    "docker.sock": "/var/run/docker.sock",
    "run/pgbouncer": "run/pgbouncer/.s.PGSQL.6432",
    "run/redis": "run/redis/redis.sock",
    "run/broker": "run/broker/broker.sock",
    "run/api": "run/api/internal.sock",
    "run/caddy": "run/caddy/admin.sock",
}
FOLDERS = (
    *("auth", "run/auth", "secrets", "backups", "exports", "imports", "caddy", "log", "pgbouncer", "postgrest"),
    *("storage", "storage-projects", "run/storage"),
)
NO_TRANSLATION = {"com.docker.network.bridge.enable_ip_masquerade": "false"}


def rows() -> dict[str, dict[str, str]]:
    """The page's first table, by service."""
    lines = [line for line in PAGE.splitlines() if line.startswith("| ")]
    heads, table = None, {}
    for line in lines:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if heads is None:
            heads = cells
        elif cells[0].startswith("`") and len(cells) == len(heads):
            table[cells[0].strip("`")] = dict(zip(heads, cells, strict=True))
    return table


ROWS = rows()


def named(cell: str, known: tuple[str, ...]) -> set[str]:
    """What a cell names of what is known: `all`, all but some, patterns, names."""
    words = re.findall(r"`([^`]+)`", cell)
    if cell.startswith("all"):
        return set(known) - set(words)
    assert words or not cell, cell
    found = {name for word in words for name in known if re.fullmatch(word.replace("*", ".*"), name)}
    assert len(found) >= len(words), f"{cell}: what is it?"
    return found


@dataclass
class Reached:
    """What a probe told."""

    secret: set[str] = field(default_factory=set)
    socket: set[str] = field(default_factory=set)
    folder: set[str] = field(default_factory=set)
    renamed: set[str] = field(default_factory=set)
    address: set[str] = field(default_factory=set)


def networks_of(service: str) -> dict[str, dict[str, str]]:
    return json.loads(
        docker_cli.run_docker("inspect", "--format", "{{json .NetworkSettings.Networks}}", NAMES[service])
    )


def ways_out(service: str) -> set[str]:
    """Which networks of a container lead further, as Docker has made them: it drops what comes from the others."""
    shown = json.loads(docker_cli.run_docker("network", "inspect", *networks_of(service)))
    leading = [one for one in shown if not one["Internal"] and one["Driver"] != "null"]
    return {"loopback" if NO_TRANSLATION.items() <= one["Options"].items() else "outside" for one in leading}


@pytest.fixture(scope="module")
def wanted(installation):
    """All that anybody might reach for."""
    home, lines = installation.home, []
    # As where an object store keeps the files; without one there is no such secret.
    files.replace(
        home / "secrets" / secretfiles.STORE_SECRET, "storage-alone-has-this-one\n", owner=(LAUNCHDB, LAUNCHDB)
    )
    deal_out(home / "secrets", owner=(LAUNCHDB, LAUNCHDB))
    lines += [f"secret {name} {secretfiles.current(home / 'secrets', name)}" for name in SECRETS]
    lines += [f"tree {path}" for path in (home, "/tmp", "/run", "/etc", "/var/log")]
    project = installation.operator["projectId"]
    sockets = {**SOCKETS, "run/projects": f"run/projects/{project}/api.sock"}
    lines += [f"socket {name} {home / path}" for name, path in sockets.items()]
    lines += [f"folder {name} {home / name}" for name in FOLDERS] + [f"folder home {home}", "folder log /var/log"]
    sources = {source for one in installation.stack.containers() for source, _target in one.mounts}
    above = {str(parent) for source in sources for parent in Path(source).parents}
    lines += [f"rename {path}" for path in sorted(sources | above) if path.startswith(f"{home}/")]
    lines += [f"address inner {networks_of('postgres')['launchdb-inner']['IPAddress']} 5432"]
    lines += [
        f"address front {networks_of('reverse-proxy')['launchdb-front']['IPAddress']} {installation.settings.https_port}"
    ]
    yield "".join(f"{line}\n" for line in lines)
    (home / "secrets" / secretfiles.STORE_SECRET).unlink()
    deal_out(home / "secrets", owner=(LAUNCHDB, LAUNCHDB))


def taken_over(service: str, wanted: str) -> Reached:
    """Run the probe in a service's container, as whoever has taken it over would."""
    argv = ["docker", "exec", "--interactive", NAMES[service], "perl", "-"]
    done = subprocess.run(argv, input=PROBE + wanted, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found = Reached()
    for line in done.stdout.splitlines():
        kind, _, what = line.partition(" ")
        getattr(found, kind).add(what)
    return found


def test_the_page_has_a_row_for_each_container_and_each_says_the_login_that_the_service_has():
    assert set(ROWS) == set(NAMES)
    for service, row in ROWS.items():
        given = SERVICES.get(service)
        login = re.findall(r"as `(\w+)`", row["databases"])
        assert login == ([] if given is None else [SUPERUSER] if given.administrator else [given.login or SUPERUSER]), (
            service
        )


@pytest.mark.parametrize("service", sorted(NAMES))
def test_whoever_takes_a_container_over_has_what_its_row_says(wanted, service):
    row, found = ROWS[service], taken_over(service, wanted)
    given = SERVICES.get(service)
    own = {LOGINS[given.login]} if given and given.login else set()
    assert found.secret == named(row["secrets"], SECRETS) | own
    assert found.socket == named(row["sockets"], (*SOCKETS, "run/projects"))
    assert found.folder == named(row["files it may write"], (*FOLDERS, "home"))
    assert found.renamed == set(), "a folder that another container mounts"
    addresses = set(filter(None, row["addresses"].split(", ")))
    assert found.address == addresses & {"inner", "front"}
    assert ways_out(service) == addresses & {"outside", "loopback"}


CONNECTS = """
import json, os, psycopg
found = []
for login in {logins!r}:
    for database in {databases!r}:
        at = f"postgresql://{{login}}@postgres:5432/{{database}}?passfile=" + os.environ["LAUNCHDB_HOME"] + "/secrets/pgpass"
        try:
            psycopg.connect(at, connect_timeout=5).close()
            found.append(f"{{login}} {{database}}")
        except psycopg.OperationalError:
            pass
print(json.dumps(found))
"""


@pytest.mark.parametrize("service", sorted(name for name, given in SERVICES.items() if given.login))
def test_a_service_logs_in_as_itself_and_gets_into_no_project_s_database(installation, service):
    project, given = installation.operator["projectId"], SERVICES[service]
    script = CONNECTS.format(logins=[SUPERUSER, *sorted(LOGINS)], databases=["platform", project])
    found = set(json.loads(docker_cli.execute(NAMES[service], ["python", "-P", "-c", script], seconds=60)))
    own = {f"{given.login} platform"}
    assert found == (own | {f"{SUPERUSER} platform", f"{SUPERUSER} {project}"} if given.administrator else own)


def test_passwords_of_the_logins_are_changed_by_removing_their_files(installation):
    secrets = installation.home / "secrets"
    before = {file: (secrets / file).read_text() for file in LOGINS.values()}
    for file in before:
        (secrets / file).unlink()
    installation.launchdb("up", "--docker", "--detach")
    assert all((secrets / file).read_text() != old for file, old in before.items())

    def logs_in() -> bool:
        script = CONNECTS.format(logins=["launchdb_auth"], databases=["platform"])
        return json.loads(docker_cli.execute(NAMES["auth-service"], ["python", "-P", "-c", script], seconds=60)) != []

    wait_for(logs_in, 60)
    wait_for(lambda: installation.rows().status_code == 200, 60)
    wait_for(lambda: installation.command("scripts/launchdb", "status").returncode == 0, 60)
