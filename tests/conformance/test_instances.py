"""Instances: whoever runs data APIs, inside the API's process, asked of Docker or of the broker, does the same."""

from __future__ import annotations

import dataclasses
import stat
from contextlib import nullcontext

import pytest

from config.settings import load
from infra.composition import instances as composed
from infra.instances.instances import CreatedBy
from tests.fixtures import containers
from tests.fixtures.containers import new_spec

BY = CreatedBy(f"job_{'0' * 32}", 7)


@pytest.fixture(
    scope="module",
    params=[
        "embedded",
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("broker", marks=pytest.mark.docker),
    ],
)
def place(request, tmp_path_factory):
    """Settings of an installation, and its instances."""
    if request.param == "embedded":
        settings = load({"LAUNCHDB_HOME": str(tmp_path_factory.mktemp("home"))}, recall=False)
        yield settings, composed(settings)
        return
    dockerd = request.getfixturevalue("dockerd")
    with containers.installation(dockerd, LAUNCHDB_RUNTIME=request.param) as settings:
        made = composed(settings)
        with containers.broker(settings) if request.param == "broker" else nullcontext():
            yield settings, made
        made.close()


@pytest.fixture
def instances(place):
    return place[1]


@pytest.fixture
def spec(instances):
    made = new_spec()
    yield made
    instances.remove(made.id)


@pytest.fixture
def served(instances, spec):
    instances.ensure(spec, BY)
    return spec


def test_what_was_never_made_is_missing(instances, spec):
    assert not instances.serves(spec)
    assert not instances.exists(spec.id)
    assert instances.fault(spec) == "it is missing"


def test_an_ensured_instance_serves_its_spec_and_no_other(instances, served):
    assert instances.serves(served)
    assert instances.exists(served.id)
    assert not instances.serves(dataclasses.replace(served, max_rows=7))


def test_it_is_listed_with_whose_it_is(instances, served):
    assert [(one.id, one.project_id) for one in instances.list() if one.id == served.id] == [(served.id, served.id)]


def test_one_look_tells_the_same_as_asking_for_each(instances, served):
    sight, missing = instances.snapshot(), new_spec()
    assert sight.fault(served) == ""
    assert sight.exists(served.id)
    assert sight.fault(missing) == "it is missing"
    assert not sight.exists(missing.id)
    assert sight.ended() == ()


def test_ensuring_it_again_changes_nothing(place, instances, served):
    file = place[0].instances_folder / served.id / "data-api.conf"
    before = file.stat().st_ino
    instances.ensure(served, BY)
    assert instances.serves(served)
    assert file.stat().st_ino == before


def test_another_spec_replaces_it(instances, served):
    other = dataclasses.replace(served, max_rows=7, db_uri=served.db_uri.replace("6432", "6433"))
    instances.ensure(other, BY)
    assert instances.serves(other)
    assert not instances.serves(served)


def test_a_changed_or_opened_configuration_is_told_and_mended(place, instances, served):
    home = place[0].instances_folder / served.id
    (home / "data-api.conf").write_text("half")
    assert instances.fault(served) == "its configuration was changed"
    instances.ensure(served, BY)
    (home / "data-api.conf").chmod(0o644)
    assert instances.fault(served) == "its configuration was changed"
    instances.ensure(served, BY)
    assert stat.S_IMODE((home / "data-api.conf").stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert instances.serves(served)


def test_a_removed_one_is_gone_without_a_trace_and_may_be_removed_again(place, instances, served):
    instances.remove(served.id)
    assert not instances.exists(served.id)
    assert [one for one in instances.list() if one.id == served.id] == []
    assert not list(place[0].home.rglob(f"*{served.id}*"))
    instances.remove(served.id)
    with pytest.raises(FileNotFoundError):
        instances.remove(served.id, missing_ok=False)


def test_one_that_serves_is_not_discarded(instances, served):
    assert not instances.discard(served.id)
    assert instances.serves(served)


def test_its_address_is_where_clients_reach_it(place, instances, spec):
    assert instances.address(spec.id) == f"{place[0].base_url}/db/{spec.id}"
