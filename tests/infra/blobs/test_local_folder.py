"""Bytes in a folder of this machine."""

from __future__ import annotations

import errno
import os

import pytest

from infra.blobs import local_folder
from infra.blobs.local_folder import LocalFolder
from infra.blobs.store import NoRoom
from infra.errors import InfraError
from tests.infra.blobs.conformance import BlobStoreConformance, content_of, new_name, put


@pytest.fixture
def place(tmp_path):
    return LocalFolder(tmp_path / "storage", "proj_0123456789abcdef")


@pytest.fixture
def other(tmp_path):
    return LocalFolder(tmp_path / "storage", "proj_fedcba9876543210")


class TestLocalFolder(BlobStoreConformance):
    """The conformance of the local folder."""


def test_files_and_folders_are_for_nobody_else(place, tmp_path):
    put(place, b"secret")
    for path in [tmp_path / "storage", *(tmp_path / "storage").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("depth", ["project", "objects", "fan"])
def test_no_link_is_gone_through(place, tmp_path, depth):
    name = put(place, b"inside")
    outside = tmp_path / "outside"
    outside.mkdir()
    project = tmp_path / "storage" / "proj_0123456789abcdef"
    folder = {"project": project, "objects": project / "objects", "fan": project / "objects" / name[:2]}[depth]
    folder.rename(tmp_path / "moved")
    folder.symlink_to(outside, target_is_directory=True)
    with pytest.raises(InfraError):
        place.open(name)
    with pytest.raises(InfraError):
        put(place, b"x", name)
    assert list(outside.rglob("*")) == []


def test_a_link_in_the_place_of_a_blob_is_not_read(place, tmp_path):
    name = put(place, b"inside")
    file = next((tmp_path / "storage").rglob(name))
    file.unlink()
    (tmp_path / "secret").write_text("of the machine")
    file.symlink_to(tmp_path / "secret")
    with pytest.raises(InfraError):
        place.open(name)
    assert name not in {entry.name for entry in place.blobs()}


def test_a_full_disk_leaves_nothing_and_says_so(place, monkeypatch):
    def full(_handle, _part):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    writer = place.begin()
    monkeypatch.setattr(local_folder.os, "write", full)
    with pytest.raises(NoRoom):
        writer.write(b"x")
    writer.discard()
    assert list(place.partials()) == []


def test_a_file_system_without_links_gets_a_second_file(place, monkeypatch):
    def no_link(source, target, **_named):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM), source, None, target)

    source, target = put(place, b"same"), new_name()
    monkeypatch.setattr(local_folder.os, "link", no_link)
    place.copy(source, target)
    place.delete(source)
    assert content_of(place, target) == b"same"
