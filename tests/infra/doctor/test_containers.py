"""launchdb doctor, with a real Docker: a service that is not well is found, restarted, and no other is touched."""

from __future__ import annotations

import secrets
import subprocess
import time

import pytest

from infra.doctor import findings
from tests.infra.doctor.conftest import bad
from tests.infra.doctor.test_files import INI, PROJECT

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("images")]  # which bring the base
IMAGE = "debian:trixie-slim"
# Well from its second start on; until then its health check says no.
HEALS = "echo started; if [ -e /seen ]; then touch /well; fi; touch /seen; exec sleep 600"


def docker(*arguments: str) -> str:
    return subprocess.run(
        ["docker", *arguments], check=True, capture_output=True, text=True, timeout=120
    ).stdout.strip()


@pytest.fixture
def site(machine):
    """A sound machine with Docker, and containers whose names begin like no other's."""
    made = machine.site()
    made.prefix, made.services = f"ldbdoc-{secrets.token_hex(4)}-", ()
    yield made
    ids = docker("ps", "--all", "--quiet", "--filter", f"name=^/{made.prefix}").split()
    if ids:
        docker("rm", "--force", *ids)


def started(site, name, *options, script="exec sleep 600") -> str:
    full = f"{site.prefix}{name}"
    docker("run", "--detach", "--init", "--network", "none", "--name", full, *options, IMAGE, "sh", "-c", script)
    return full


def turns(probe, seconds=60.0) -> None:
    deadline = time.monotonic() + seconds
    while not probe():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_an_unhealthy_service_is_shown_with_its_last_words_and_restarted_alone(machine, site):
    health = ("--health-cmd", "test -e /well", "--health-interval", "1s", "--health-retries", "1")
    sick = started(site, "sick", *health, script=HEALS)
    well = started(site, "well")
    since = docker("inspect", "--format", "{{.State.StartedAt}}", well)
    turns(lambda: sick in bad(machine.look("service.health", site)))
    found = bad(machine.look("service.health", site))
    assert set(found) == {sick}
    assert found[sick].evidence.startswith("unhealthy")
    assert "started" in found[sick].evidence
    assert "restarted" in findings.CHECKS["service.health"].mend(site, found[sick])
    turns(lambda: docker("inspect", "--format", "{{.State.Health.Status}}", sick) == "healthy")
    assert bad(machine.look("service.health", site)) == {}
    assert docker("inspect", "--format", "{{.State.StartedAt}}", well) == since


def test_a_service_without_a_container_is_named(machine, site):
    started(site, "well")
    site.services = ("well", "lost")
    assert set(bad(machine.look("service.health", site))) == {f"{site.prefix}lost"}


def test_a_stopped_service_is_found_and_started(machine, site):
    name = started(site, "stopped", script="echo goodbye; exit 3")
    turns(lambda: name in bad(machine.look("service.health", site)))
    assert "goodbye" in bad(machine.look("service.health", site))[name].evidence
    foreign = findings.failure("unhealthy", "", fixable=True, subject="somebody-elses")
    with pytest.raises(findings.InfraError, match="no container of this installation"):
        findings.CHECKS["service.health"].mend(site, foreign)


def test_the_pooler_reads_the_file_that_was_put_back(machine, site):
    folder = machine.home / "pgbouncer"
    folder.mkdir()
    (folder / "pgbouncer.ini").write_text("")
    (folder / "pgbouncer.ini.backup-1").write_text(INI)
    name = started(site, "pgbouncer", script="trap 'echo hung up' HUP; echo ready; while :; do sleep 0.2; done")
    turns(lambda: "ready" in docker("logs", name))
    (found,) = machine.look("pooler.config", site)
    assert "PgBouncer has read it" in findings.CHECKS["pooler.config"].mend(site, found)
    turns(lambda: "hung up" in docker("logs", name))
    site.projects = lambda: {PROJECT}
    assert bad(machine.look("pooler.config", site)) == {}


def test_a_worker_that_sees_other_folders_is_made_anew(machine, site, tmp_path):
    (machine.home / ".env").write_text("HOST_CONFIG_DIR=/nowhere\nHOST_SCRIPT_DIR=/nowhere\n")
    (machine.home / ".env").chmod(0o600)
    site.file = tmp_path / "compose.yaml"
    site.file.write_text(f"""
version: "3.7"
services:
  worker:
    container_name: {site.prefix}worker
    image: {IMAGE}
    command: ["sleep", "600"]
    init: true
    network_mode: none
    environment:
      HOST_CONFIG_DIR: "${{HOST_CONFIG_DIR}}"
      HOST_SCRIPT_DIR: "${{HOST_SCRIPT_DIR}}"
    volumes: ["{machine.home}:{machine.home}"]
""")
    name = f"{site.prefix}worker"
    compose = ["--project-name", site.prefix.rstrip("-"), "--file", str(site.file), "--env-file", str(site.dotenv)]
    subprocess.run(["docker-compose", *compose, "up", "-d"], check=True, capture_output=True, timeout=120)
    found = bad(machine.look("manager.folders", site))
    assert "was started with /nowhere" in found["HOST_CONFIG_DIR"].evidence
    told = [findings.CHECKS["manager.folders"].mend(site, one) for one in found.values()]
    assert ["made anew" in one for one in told] == [True, False]
    assert told[1] == "nothing was left to do"
    assert bad(machine.look("manager.folders", site)) == {}
    assert f"HOST_CONFIG_DIR={machine.home}/postgrest/projects" in docker("exec", name, "env")


def test_docker_itself_is_looked_at_and_logs_without_an_end_are_a_warning(machine, site):
    name = started(site, "endless", "--log-driver", "json-file")
    found = {one.subject: one for one in machine.look("host.docker", site)}
    assert found["Docker"].status == found["Compose"].status == "ok"
    assert "grow without end" in found["logs"].evidence
    assert name in found["containers' logs"].evidence
    docker("rm", "--force", name)
    machine.write(
        "etc/docker/daemon.json", '{"log-driver": "json-file", "log-opts": {"max-size": "10m", "max-file": "3"}}'
    )
    found = {one.subject: one for one in machine.look("host.docker", site)}
    assert found["logs"].evidence == "logs: json-file, 10m x 3"
    machine.write("etc/docker/daemon.json", "{")
    assert bad(machine.look("host.docker", site))["logs"].status == "failure"


def test_a_port_that_docker_forwards_is_seen_though_nobody_listens(machine, site):
    docker(
        "run", "--detach", "--name", f"{site.prefix}open", "--publish", "127.0.0.9:15432:5432", IMAGE, "sleep", "600"
    )
    assert bad(machine.look("host.ports", site)) == {}


def test_which_image_data_apis_run_on_is_said_and_whether_it_is_here(machine, site):
    site.settings = machine.site(LAUNCHDB_DATA_API_IMAGE=IMAGE).settings
    (found,) = machine.look("data-api.image", site)
    assert (found.status, found.evidence) == ("ok", f"LaunchDB's own: {IMAGE}")
    site.settings = machine.site(LAUNCHDB_DATA_API_IMAGE="postgrest/postgrest:v0").settings
    (found,) = machine.look("data-api.image", site)
    assert (found.status, "docker pull" in found.remedy) == ("failure", True)
    assert found.evidence.startswith("official PostgREST")
