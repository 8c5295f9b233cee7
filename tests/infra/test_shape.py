"""The shape of a project's container: one body for all, made of an id and of settings alone."""

from __future__ import annotations

import dataclasses
import json
import tempfile

import pytest

from config.settings import load
from infra.composition import instances
from infra.errors import Refused
from infra.instances.containers import shape
from infra.instances.containers.shape import ContainerShape
from infra.instances.instances import CreatedBy
from tests.fixtures.containers import new_spec

PROJECT, JOB = "proj_0123456789abcdef", f"job_{'0' * 32}"
SHAPE = ContainerShape.of(load({"LAUNCHDB_HOME": "/srv/launchdb", "LAUNCHDB_RUNTIME": "docker"}, recall=False))


@pytest.fixture
def short():
    """A folder whose name leaves room for a socket's."""
    with tempfile.TemporaryDirectory(prefix="ldb-") as folder:
        yield folder


def test_who_made_it_is_said_and_changes_nothing_else():
    one, other = SHAPE.body(PROJECT, "sha256:1", CreatedBy(JOB, 1)), SHAPE.body(PROJECT, "sha256:1", CreatedBy("", 0))
    told = [name for name in one["Labels"] if one["Labels"][name] != other["Labels"][name]]
    assert sorted(told) == [shape.FENCE, shape.JOB]
    assert {**one, "Labels": 0} == {**other, "Labels": 0}


@pytest.mark.parametrize(
    "change",
    [{"memory_mb": 64}, {"cpus": 0.5}, {"pids": 17}, {"image": "postgrest/postgrest:v14"}, {"installation": "other"}],
)
def test_whatever_of_it_changes_changes_its_hash(change):
    assert dataclasses.replace(SHAPE, **change).spec(PROJECT, "sha256:1") != SHAPE.spec(PROJECT, "sha256:1")


def test_another_image_of_the_same_name_changes_its_hash():
    assert SHAPE.spec(PROJECT, "sha256:2") != SHAPE.spec(PROJECT, "sha256:1")


@pytest.mark.parametrize(
    "wrong", ["", "x", "../proj_0123456789abcdef", f"{PROJECT}\n", f"{PROJECT}/..", PROJECT.upper()]
)
def test_only_a_project_has_a_container(wrong):
    for act in (
        lambda: shape.container_name(wrong),
        lambda: SHAPE.body(wrong, "sha256:1", CreatedBy()),
        lambda: SHAPE.spec(wrong, ""),
    ):
        with pytest.raises(Refused):
            act()


@pytest.mark.parametrize(
    "by", [CreatedBy("job_x", 1), CreatedBy(f"{JOB}\n", 1), CreatedBy(JOB, -1), CreatedBy(JOB, 2**63)]
)
def test_only_a_job_makes_one(by):
    with pytest.raises(Refused):
        SHAPE.body(PROJECT, "sha256:1", by)


CONFINED = {
    "NetworkMode": "none",
    "IpcMode": "none",
    "Privileged": False,
    "ReadonlyRootfs": True,
    "CapDrop": ["ALL"],
    "SecurityOpt": ["no-new-privileges"],
}


@pytest.mark.parametrize("member", CONFINED)
def test_it_is_confined_in_each_way(member):
    host = SHAPE.body(PROJECT, "sha256:1", CreatedBy())["HostConfig"]
    assert host.get(member) == CONFINED[member], f"A project's container is confined: {member}"


def test_it_is_bounded_and_nobody_of_rank():
    body = SHAPE.body(PROJECT, "sha256:1", CreatedBy())
    bounds = [body["HostConfig"].get(bound, 0) for bound in ("Memory", "NanoCpus", "PidsLimit")]
    assert all(bound > 0 for bound in bounds), "A project's container is bounded in memory, time and processes"
    assert body["User"].split(":")[0] not in ("", "0", "root"), "A project's container runs as nobody of rank"


def test_it_sees_folders_of_its_own_and_the_poolers_socket_alone():
    mounts = {mount["Target"]: mount for mount in SHAPE.body(PROJECT, "sha256:1", CreatedBy())["HostConfig"]["Mounts"]}
    sources = {target: mount["Source"] for target, mount in mounts.items()}
    seen = {source for source in sources.values() if PROJECT not in source}
    assert seen == {str(SHAPE.pooler)}, "A project's container sees nothing of another's"
    writable = [target for target, mount in mounts.items() if not mount["ReadOnly"]]
    assert writable == [shape.SOCKETS], "A project's container writes where its socket lies, and nowhere else"


def test_its_environment_holds_nothing_of_ours():
    assert "Env" not in json.dumps(SHAPE.body(PROJECT, "sha256:1", CreatedBy()))


def test_a_home_whose_sockets_would_have_too_long_a_name_is_refused():
    with pytest.raises(Refused, match="LAUNCHDB_HOME is too long"):
        ContainerShape.of(load({"LAUNCHDB_HOME": f"/srv/{'x' * 80}"}, recall=False))


@pytest.mark.parametrize(
    ("image", "ours"),
    [
        ("", True),
        ("launchdb/data-api:0.1.0", True),
        ("registry.example:5000/launchdb/data-api@sha256:0", True),
        ("postgrest/postgrest", False),
        ("postgrest/postgrest:v14.1", False),
        ("registry.example:5000/postgrest/postgrest:v14@sha256:0", False),
    ],
)
def test_postgrests_own_image_is_told_by_its_name_and_gets_its_own_options_alone(short, image, ours):
    given = {"LAUNCHDB_HOME": short, "LAUNCHDB_RUNTIME": "docker", "LAUNCHDB_DATA_API_IMAGE": image}
    settings = load(given, recall=False)
    made, spec = ContainerShape.of(settings), new_spec(db_uri_before="postgresql://before")
    assert made.is_own_image is ours
    assert ("Cmd" in made.body(PROJECT, "sha256:1", CreatedBy())) is not ours
    folders = instances(settings)._configurations
    folders.write(spec)
    text = (settings.instances_folder / spec.id / "data-api.conf").read_text()
    assert ("\nlaunchdb-" in text) is ours
    assert 'server-unix-socket = "/run/launchdb/api.sock"\n' in text
