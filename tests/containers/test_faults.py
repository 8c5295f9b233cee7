"""What happens to project containers behind our back is seen and mended; what is not ours is left alone."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
from docker.errors import NotFound

from infra.composition import docker as verbs_of
from infra.composition import instances
from infra.errors import Refused, Unavailable
from infra.instances.containers import health, shape
from infra.instances.instances import CreatedBy
from tests.fixtures.containers import IMAGE, new_spec
from tests.fixtures.servers import wait_until

pytestmark = pytest.mark.docker
BY = CreatedBy(f"job_{'1' * 32}", 3)


@pytest.fixture(scope="module")
def verbs(contained):
    """Docker itself, as the instances ask it."""
    made = verbs_of(contained)
    yield made
    made.close()


@pytest.fixture
def spec(made_by_docker):
    made = new_spec()
    yield made
    made_by_docker.remove(made.id)


@pytest.fixture
def served(made_by_docker, spec):
    made_by_docker.ensure(spec, BY)
    return spec


def id_of(dockerd, spec):
    return dockerd.inspect_container(f"postgrest-{spec.id}")["Id"]


@pytest.mark.parametrize("act", ["kill", "stop", "pause"])
def test_one_that_was_put_to_rest_is_told_and_runs_again(dockerd, made_by_docker, served, act):
    before = id_of(dockerd, served)
    getattr(dockerd, act)(before)
    assert "its container is " in made_by_docker.snapshot().fault(served)
    made_by_docker.ensure(served, BY)
    assert made_by_docker.serves(served)
    assert id_of(dockerd, served) == before


def test_one_that_was_removed_is_made_anew(dockerd, made_by_docker, served):
    dockerd.remove_container(id_of(dockerd, served), force=True)
    assert made_by_docker.fault(served) == "its container is missing"
    made_by_docker.ensure(served, BY)
    assert made_by_docker.serves(served)


@pytest.mark.parametrize("act", ["kill", "pause", "remove_container"])
def test_the_end_of_one_is_heard_also_by_whoever_asks_afterwards(dockerd, made_by_docker, served, act):
    before, heard = time.time_ns(), []
    waiting = threading.Thread(target=lambda: heard.append(made_by_docker.wait_for_end(before, 30)))
    waiting.start()
    getattr(dockerd, act)(id_of(dockerd, served), **({"force": True} if act == "remove_container" else {}))
    waiting.join()
    [(at, project)] = heard
    assert (at > before, project) == (True, served.id)
    assert made_by_docker.wait_for_end(before, 1) == (at, served.id)
    # A removal is two events, and both are told; after the last one there is nothing.
    while project is not None:
        at, project = made_by_docker.wait_for_end(at, 1)
    assert made_by_docker.wait_for_end(at, 1) == (at, None)
    made_by_docker.ensure(served, BY)


def test_the_end_of_one_that_docker_starts_again_by_itself_is_nobody_s_business(dockerd, made_by_docker, served):
    before = time.time_ns()
    os.kill(dockerd.inspect_container(id_of(dockerd, served))["State"]["Pid"], signal.SIGKILL)
    at, project = made_by_docker.wait_for_end(before, 30)
    assert (at > before, project) == (True, None)
    wait_until(lambda: made_by_docker.serves(served))


def test_the_end_of_a_stranger_with_our_labels_is_not_heard(dockerd, contained, made_by_docker):
    spec = new_spec()
    labels = {shape.INSTALLATION: shape.installation_label(contained.home), shape.PROJECT: spec.id}
    made = dockerd.create_container(dockerd.inspect_image(made_by_image(contained))["Id"], labels=labels)
    before = time.time_ns()
    dockerd.remove_container(made["Id"], force=True)
    assert made_by_docker.wait_for_end(before, 1) == (before, None)


def test_one_whose_socket_was_removed_is_told_and_answers_again(contained, made_by_docker, served):
    (contained.run_folder / "projects" / served.id / "api.sock").unlink()
    assert made_by_docker.fault(served) == "its socket is missing"
    made_by_docker.ensure(served, BY)
    assert made_by_docker.serves(served)


def test_one_that_was_created_and_never_started_is_adopted(verbs, dockerd, made_by_docker, spec):
    with pytest.raises(Refused, match=r"mount|bind"):  # its folders are made before it is
        verbs.create(spec.id, BY)
    made_by_docker._configurations.write(spec)
    made_by_docker._sockets.make(spec.id)
    assert verbs.create(spec.id, BY)
    assert not verbs.create(spec.id, BY)
    before = id_of(dockerd, spec)
    made_by_docker.ensure(spec, CreatedBy(f"job_{'2' * 32}", 4))
    assert id_of(dockerd, spec) == before
    assert dockerd.inspect_container(before)["Config"]["Labels"][shape.JOB] == BY.job


def test_one_that_docker_was_killed_over_and_cannot_start_again_is_made_anew(verbs, dockerd, made_by_docker, spec):
    made_by_docker._configurations.write(spec)
    made_by_docker._sockets.make(spec.id)
    assert verbs.create(spec.id, BY)
    before = id_of(dockerd, spec)
    # What containerd knows of a container that Docker did not see it start.
    (tasks,) = Path("/run").glob("**/io.containerd.runtime.v2.task/moby")
    (tasks / before).mkdir()
    try:
        with pytest.raises(Unavailable, match="exists"):
            verbs.start(spec.id)
        made_by_docker.ensure(spec, BY)
        assert id_of(dockerd, spec) != before
        assert made_by_docker.serves(spec)
    finally:
        shutil.rmtree(tasks / before, ignore_errors=True)


@pytest.mark.parametrize("path", ["/run/launchdb/last-request", "/run/launchdb/api", "/tmp/more"])
def test_one_can_write_no_more_than_a_block_into_any_file(dockerd, served, path):
    script = f"import os; handle = os.open('{path}', os.O_CREAT | os.O_WRONLY); os.unlink('{path}'); assert os.write(handle, bytes(5000)) == 4096; os.write(handle, b'x')"
    ran = dockerd.exec_create(id_of(dockerd, served), ["/opt/venv/bin/python", "-c", script])["Id"]
    assert b"File too large" in dockerd.exec_start(ran)


def test_one_that_writes_beside_its_socket_is_ended_and_serves_again(dockerd, contained, made_by_docker, served):
    assert made_by_docker.evict_intruders() == ()
    before = id_of(dockerd, served)
    script = "import os; [os.mknod(f'/run/launchdb/{n}') for n in range(5000)]"
    ran = dockerd.exec_create(before, ["/opt/venv/bin/python", "-c", script])["Id"]
    dockerd.exec_start(ran)
    assert dockerd.exec_inspect(ran)["ExitCode"] == 0
    assert made_by_docker.evict_intruders() == (served.id,)
    assert not (contained.run_folder / "projects" / served.id).exists()
    assert made_by_docker.fault(served) == "its container is missing"
    made_by_docker.ensure(served, BY)
    assert id_of(dockerd, served) != before
    assert made_by_docker.evict_intruders() == ()


def test_one_that_was_made_otherwise_is_replaced(dockerd, contained, made_by_docker, served):
    before = id_of(dockerd, served)
    more = instances(contained.model_copy(update={"project_memory_mb": 128}))
    assert more.fault(served) == "its container is not as it would be made now"
    more.ensure(served, BY)
    assert id_of(dockerd, served) != before
    assert dockerd.inspect_container(f"postgrest-{served.id}")["HostConfig"]["Memory"] == 128 * 1024 * 1024
    more.close()


@pytest.mark.parametrize("labels", ["none", "of another installation", "of another project"])
def test_one_of_somebody_else_is_refused_and_never_touched(dockerd, contained, verbs, made_by_docker, spec, labels):
    ours = {shape.INSTALLATION: shape.installation_label(contained.home), shape.PROJECT: spec.id}
    given = {
        "none": {},
        "of another installation": {**ours, shape.INSTALLATION: "0" * 12},
        "of another project": {**ours, shape.PROJECT: f"proj_{'0' * 16}"},
    }[labels]
    name = f"postgrest-{spec.id}"
    dockerd.create_container(dockerd.inspect_image(made_by_image(contained))["Id"], name=name, labels=given)
    try:
        before = id_of(dockerd, spec)
        with pytest.raises(Refused, match="not ours"):
            made_by_docker.ensure(spec, BY)
        assert not made_by_docker.discard(spec.id)
        assert spec.id not in made_by_docker.snapshot().ended()
        made_by_docker.remove(spec.id)
        for verb in ("start", "stop", "remove"):
            with pytest.raises(Refused, match="not ours"):
                getattr(verbs, verb)(spec.id)
        assert id_of(dockerd, spec) == before
        assert dockerd.inspect_container(before)["State"]["Status"] == "created"
    finally:
        dockerd.remove_container(name, force=True)


def test_a_container_with_our_labels_and_another_name_is_none_of_ours(dockerd, contained, made_by_docker):
    spec = new_spec()
    labels = {shape.INSTALLATION: shape.installation_label(contained.home), shape.PROJECT: spec.id}
    made = dockerd.create_container(dockerd.inspect_image(made_by_image(contained))["Id"], labels=labels)
    try:
        assert spec.id not in made_by_docker.snapshot().containers
        assert not made_by_docker.discard(spec.id)
    finally:
        dockerd.remove_container(made["Id"], force=True)


def test_one_that_has_ended_is_discarded(dockerd, made_by_docker, served):
    dockerd.stop(id_of(dockerd, served))
    assert made_by_docker.snapshot().ended() == (served.id,)
    assert made_by_docker.discard(served.id)
    with pytest.raises(NotFound):
        id_of(dockerd, served)


def test_a_new_configuration_is_taken_without_a_new_start(dockerd, contained, made_by_docker, served):
    started = dockerd.inspect_container(f"postgrest-{served.id}")["State"]["StartedAt"]
    other = dataclasses.replace(served, max_rows=7)
    made_by_docker.ensure(other, BY)
    answer = health.ask_health(contained.run_folder / "projects" / served.id / "api.sock")
    assert answer.spec == made_by_docker._configurations.hash(other)
    assert dockerd.inspect_container(f"postgrest-{served.id}")["State"]["StartedAt"] == started


def test_a_writer_that_died_before_it_told_of_a_new_configuration_is_made_up_for(contained, made_by_docker, served):
    other = dataclasses.replace(served, max_rows=7)
    made_by_docker._configurations.write(other)
    made_by_docker.ensure(other, BY)
    answer = health.ask_health(contained.run_folder / "projects" / served.id / "api.sock")
    assert answer.spec == made_by_docker._configurations.hash(other)


def test_one_that_died_is_reported_with_its_last_words(made_by_docker, spec):
    with pytest.raises(
        Unavailable,
        match="ended with exit status 1; it said: the configuration cannot be used: db-pool must be a number",
    ):
        made_by_docker.ensure(dataclasses.replace(spec, pool_size="none"), BY)


def test_one_whose_process_was_killed_comes_back_by_itself_over_its_old_socket(dockerd, contained, served):
    path = contained.run_folder / "projects" / served.id / "api.sock"
    dockerd.exec_start(dockerd.exec_create(f"postgrest-{served.id}", ["/bin/sh", "-c", "kill -9 -1"])["Id"])
    wait_until(lambda: dockerd.inspect_container(f"postgrest-{served.id}")["RestartCount"] > 0, 10)
    wait_until(lambda: health.ask_health(path) is not None)


def test_many_at_once_make_one_container(dockerd, made_by_docker, spec):
    failed = []

    def ensure():
        try:
            made_by_docker.ensure(spec, BY)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=ensure) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert made_by_docker.serves(spec)


def test_docker_that_is_away_is_told_as_such(contained, spec):
    away = instances(contained.model_copy(update={"docker_socket": contained.home / "nowhere.sock"}))
    for act in (away.snapshot, lambda: away.ensure(spec, BY), lambda: away.serves(spec)):
        with pytest.raises(Unavailable) as told:
            act()
        assert told.value.dependency == "docker"
    away.close()


def test_an_image_that_is_not_here_is_refused_by_name(contained, spec):
    other = instances(contained.model_copy(update={"data_api_image": "launchdb/never-built:1"}))
    with pytest.raises(Refused, match="launchdb/never-built:1"):
        other.ensure(spec, BY)
    other.close()


def made_by_image(settings):
    return IMAGE or f"launchdb/data-api:{settings.version}"
