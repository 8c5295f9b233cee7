"""A data-API instance is a folder: whole, private, ours by its label."""

from __future__ import annotations

import dataclasses
import stat

import jinja2
import pytest

from infra.instances.embedded import EmbeddedInstances
from infra.instances.folders import InstanceFolders
from infra.instances.instances import InstanceSpec
from infra.render import render

SPEC = InstanceSpec(
    id="proj_0123456789abcdef",
    project_id="proj_0123456789abcdef",
    db_uri="postgresql://a:b@127.0.0.1:5432/c",
    jwt_secret="s" * 43,
    anon_role="proj_0123456789abcdef_anon",
    pool_size=5,
    max_rows=1000,
)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "instances"


@pytest.fixture
def instances(folder):
    return EmbeddedInstances(InstanceFolders(folder, "http://127.0.0.1:8000"))


def test_an_instance_is_there_once_ensured_and_gone_once_removed(instances, folder):
    instances.ensure(SPEC)
    assert [(found.id, found.project_id) for found in instances.list()] == [(SPEC.id, SPEC.project_id)]
    assert instances.address(SPEC.id) == f"http://127.0.0.1:8000/db/{SPEC.id}"
    assert stat.S_IMODE((folder / SPEC.id).stat().st_mode) == 0o700
    instances.remove(SPEC.id)
    instances.remove(SPEC.id)
    assert instances.list() == []
    assert list(folder.iterdir()) == []


def test_removing_what_is_not_there_may_be_an_error(instances):
    with pytest.raises(FileNotFoundError):
        instances.remove(SPEC.id, missing_ok=False)


def test_an_equal_spec_touches_nothing_and_another_one_replaces_it_whole(instances, folder):
    file = folder / SPEC.id / "data-api.conf"
    instances.ensure(SPEC)
    before, inode = instances.list(), file.stat().st_ino
    instances.ensure(SPEC)
    assert (instances.list(), file.stat().st_ino) == (before, inode)
    instances.ensure(dataclasses.replace(SPEC, max_rows=7))
    assert file.stat().st_ino != inode
    assert "db-max-rows = 7\n" in file.read_text()
    assert instances.list() != before


def test_a_damaged_or_opened_file_is_mended(instances, folder):
    instances.ensure(SPEC)
    file = folder / SPEC.id / "data-api.conf"
    whole = file.read_text()
    file.write_text("db-uri")
    file.chmod(0o644)
    (folder / SPEC.id).chmod(0o755)
    instances.ensure(SPEC)
    assert file.read_text() == whole
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / SPEC.id).stat().st_mode) == 0o700


def test_a_folder_without_our_label_is_not_listed(instances, folder):
    instances.ensure(SPEC)
    (folder / "stranger").mkdir()
    (folder / "stranger" / "data-api.conf").write_text('db-uri = "x"\n')
    assert [found.id for found in instances.list()] == [SPEC.id]


def test_what_an_interrupted_writer_left_goes_with_the_instance(instances, folder):
    instances.ensure(SPEC)
    (folder / SPEC.id / ".data-api.conf.0a1b2c3d").write_text("half")
    instances.remove(SPEC.id)
    assert not (folder / SPEC.id).exists()


def test_no_secret_is_shown_by_the_spec(instances):
    assert SPEC.jwt_secret not in repr(SPEC)
    assert SPEC.db_uri not in repr(SPEC)


def test_a_value_cannot_break_out_of_its_line(instances):
    with pytest.raises(ValueError, match="control character"):
        instances.ensure(dataclasses.replace(SPEC, anon_role='x"\ndb-pool = 1000'))
    instances.ensure(dataclasses.replace(SPEC, anon_role='x" db-pool = 1000'))


def test_a_missing_value_is_an_error_and_no_empty_text():
    with pytest.raises(jinja2.UndefinedError):
        render("data-api.conf", {})
