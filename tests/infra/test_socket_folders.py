"""The folder of a container's socket holds the socket and a mark; whoever is in there can lay nothing else unseen."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import pytest

from infra.instances.folders import SocketFolders

PROJECT = "proj_0123456789abcdef"


@pytest.fixture
def root():
    """A folder with a short path: a socket's has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="ldb-") as folder:
        yield Path(folder)


@pytest.fixture
def place(root):
    return root / PROJECT


@pytest.fixture
def folders(root, place):
    """A folder as a data API that was asked leaves it."""
    made = SocketFolders(root)
    made.make(PROJECT)
    for name in ("api.sock", ".api.sock.new"):
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(place / name))
    (place / "last-request").touch()
    return made


def replaced_by_folder(place):
    (place / "api.sock").unlink()
    (place / "api.sock").mkdir()


def hidden_behind_the_clock(place):
    before = place.stat()
    (place / "more").touch()
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_what_belongs_there_is_no_litter(folders, place):
    assert folders.littered() == []
    os.utime(place / "last-request")
    assert folders.littered() == []
    folders.remove(PROJECT)
    assert folders.littered() == []


@pytest.mark.parametrize(
    "act",
    [
        lambda place: (place / "more").touch(),
        lambda place: (place / "more").mkdir(),
        lambda place: (place / "more").symlink_to("x" * 4000),
        lambda place: os.mkfifo(place / "more"),
        lambda place: (place / "last-request").rename(place / "api.sock"),
        lambda place: (place / "last-request").unlink() or (place / "last-request").symlink_to("/etc"),
        replaced_by_folder,
        hidden_behind_the_clock,
    ],
)
@pytest.mark.parametrize("looked", [False, True])
def test_whatever_else_is_laid_there_is_seen(folders, place, act, looked):
    if looked:
        assert folders.littered() == []
    act(place)
    assert folders.littered() == [PROJECT]
    assert folders.littered() == [PROJECT], "until it is gone"
    folders.remove(PROJECT)
    assert folders.littered() == []


def test_where_there_are_no_folders_there_is_no_litter(tmp_path):
    assert SocketFolders(tmp_path / "none").littered() == []
