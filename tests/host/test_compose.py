"""Compose and Docker as the host commands use them, on a project of a test's own."""

from __future__ import annotations

import json
import secrets
import time

import pytest

from infra.errors import Refused
from infra.host import compose, docker_cli, logs
from infra.host.logs import LogRange

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("images")]  # which bring the base

FILE = """
version: "2.4"
services:
  steady:
    image: {image}
    container_name: {name}-steady
    network_mode: none
    command: ["sh", "-c", "echo {said}; echo error of steady >&2; exec sleep 1000"]
    init: true
    healthcheck: {{test: ["CMD", "true"], interval: 1s}}
    environment: {{WHO: "${{WHO}}"}}
  other:
    image: {image}
    container_name: {name}-other
    network_mode: none
    init: true
    depends_on: {{steady: {{condition: service_healthy}}}}
    command: ["sh", "-c", "sleep 0.2; echo second; exec sleep 1000"]
"""
IMAGE = "debian:trixie-slim"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A running project with two services, gone afterwards."""
    folder, name = tmp_path_factory.mktemp("compose"), f"ldbtest-{secrets.token_hex(4)}"
    (folder / "compose.yaml").write_text(FILE.format(image=IMAGE, name=name, said="first"))
    (folder / ".env").write_text("WHO=dotenv\n")
    found = compose.find(folder / "compose.yaml", folder / ".env", project=name)
    told = []
    found.up(tell=told.append)
    yield found
    found.down(tell=told.append, volumes=True)
    assert docker_cli.containers(project=name) == []


def named(project):
    return {one.service: one for one in project.containers()}


def test_containers_are_shown_with_service_state_and_health(project):
    deadline = time.monotonic() + 60
    while not all(one.is_well for one in project.containers()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    found = named(project)
    assert sorted(found) == ["other", "steady"]
    assert (found["steady"].health, found["other"].health) == ("healthy", "")
    assert found["steady"].since.startswith("20")


def test_a_file_that_is_no_file_of_the_machine_is_asked_again_and_again(project):
    """As that of a version, which only its image has: Compose 1.29 reads it twice for some commands."""
    content = compose.find(project.file.read_bytes(), project.dotenv, project=project.project)
    assert content.services() == ["steady", "other"]
    assert [content.differs(service) for service in content.services()] == [False, False]
    told = []
    content.up(tell=told.append)
    assert named(content).keys() == {"steady", "other"}


def test_a_program_runs_in_a_container_with_what_it_is_fed(project):
    assert docker_cli.execute(f"{project.project}-steady", ["cat"], feed=b"a secret") == "a secret"


def test_no_variable_of_the_caller_goes_over_dotenv(project, monkeypatch):
    monkeypatch.setenv("WHO", "caller")
    project.up(tell=lambda _line: None)
    assert docker_cli.execute(f"{project.project}-steady", ["printenv", "WHO"]).strip() == "dotenv"


def test_a_container_that_the_file_says_other_of_is_known_before_it_is_replaced(project):
    assert not project.differs("steady")
    project.dotenv.write_text("WHO=other\n")
    assert (project.differs("steady"), project.differs("other")) == (True, False)
    project.dotenv.write_text("WHO=dotenv\n")
    assert not project.differs("steady")


def test_what_a_killed_compose_has_left_half_replaced_is_settled_by_the_next_start(project):
    """It renames the old container, makes the new one, and removes the old one."""
    name = f"{project.project}-steady"
    half = f"0123456789ab_{name}"
    docker_cli.run_docker("rename", name, half)
    project.up(tell=lambda _line: None)
    assert sorted(one.name for one in project.containers()) == [f"{project.project}-other", name]
    docker_cli.run_docker("rename", name, half)
    docker_cli.run_docker("stop", "--time", "1", half)
    shown = json.loads(docker_cli.run_docker("inspect", half))[0]["Config"]["Labels"]
    labels = [part for label, value in shown.items() for part in ("--label", f"{label}={value}")]
    healthy = ("--health-cmd", "true", "--health-interval", "1s")
    docker_cli.run_docker("create", "--name", name, "--network", "none", *healthy, *labels, IMAGE, "sleep", "1000")
    project.up(tell=lambda _line: None)
    assert sorted(one.name for one in project.containers()) == [f"{project.project}-other", name]
    assert named(project)["steady"].state == "running"
    project.up("steady", tell=lambda _line: None, again=True)


def test_lines_of_several_containers_come_in_the_order_of_time(project):
    names = [f"{project.project}-{service}" for service in ("other", "steady")]
    deadline = time.monotonic() + 60
    while len(found := logs.read(names, LogRange())) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert found == sorted(found, key=lambda line: line.at)
    assert {line.text for line in found} == {"first", "error of steady", "second"}
    assert [line.text for line in logs.read(names[1:], LogRange(tail=0))] == []


def test_what_comes_is_followed(project):
    lines = logs.follow([f"{project.project}-steady"], LogRange())
    assert {next(lines).text, next(lines).text} == {"first", "error of steady"}


def test_a_failure_is_one_sentence_with_the_last_words_of_compose(project, tmp_path):
    (tmp_path / "compose.yaml").write_text('version: "2.4"\nservices: {lost: {image: "launchdb-none/none:0"}}\n')
    (tmp_path / ".env").write_text("")
    broken = compose.Compose(project.program, tmp_path / "compose.yaml", tmp_path / ".env", f"{project.project}x")
    try:
        with pytest.raises(Refused, match="ended with exit status"):
            broken.up(tell=lambda _line: None)
    finally:  # a network is made before the image is missed
        broken.down(tell=lambda _line: None)


def test_a_container_that_is_away_is_refused_by_name():
    with pytest.raises(Refused, match="ldb-nobody"):
        docker_cli.execute("ldb-nobody", ["true"])
