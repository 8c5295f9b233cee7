"""What the Procfile and the formation mean."""

from __future__ import annotations

import sys

import pytest

from config.settings import CHECKOUT
from infra.embedded import procfile
from infra.embedded.output import OutputPipe, ProcessLog
from infra.errors import Refused


@pytest.fixture
def write(tmp_path):
    def write(text):
        (tmp_path / "Procfile").write_text(text)
        return tmp_path / "Procfile"

    return write


def test_our_own_procfile_starts_api_workers_and_scheduler():
    names = [line.name for line in procfile.read(CHECKOUT / "Procfile", "worker=2")]
    assert names == ["api.1", "worker.1", "worker.2", "scheduler.1"]


def test_our_program_runs_by_the_same_interpreter_whatever_the_path_holds(write):
    (line,) = procfile.read(write("api: launchdb serve all\n"), "")
    assert line.argv == (sys.executable, "-m", "scripts.cli", "serve", "all")


def test_a_role_can_be_left_out_by_the_formation(write):
    assert [line.name for line in procfile.read(write("a: true\nb: 'x y' z\n"), "a=0")] == ["b.1"]


@pytest.mark.parametrize("text", ["a true\n", "a:\n", "a: x\na: y\n", ": x\n"])
def test_a_line_nobody_can_read_is_refused(write, text):
    with pytest.raises(Refused, match="this line is not"):
        procfile.read(write(text), "")


@pytest.mark.parametrize("formation", ["worker", "worker=-1", "other=1", "worker=x"])
def test_a_formation_nobody_can_read_is_refused(write, formation):
    with pytest.raises(Refused, match="LAUNCHDB_FORMATION"):
        procfile.read(write("worker: true\n"), formation)


def test_a_log_stays_within_its_bounds_and_keeps_the_newest_lines(tmp_path):
    log = ProcessLog(tmp_path / "api.log", largest_bytes=1000)
    for number in range(500):
        log.write("api.1", f"line {number}".encode())
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2000
    assert log.tail(1) == "api.1 | line 499"


def test_a_full_disk_loses_log_lines_and_nothing_else():
    from pathlib import Path

    ProcessLog(Path("/dev/full")).write("api.1", b"line")


def test_a_line_that_comes_in_pieces_is_logged_whole(tmp_path):
    import os

    pipe = OutputPipe(ProcessLog(tmp_path / "log"), "api.1")
    os.write(pipe.write_end, b"half ")
    assert pipe.pump()
    os.write(pipe.write_end, b"line\nrest")
    assert pipe.pump()
    os.close(pipe.write_end)
    assert not pipe.pump()
    pipe.close()
    assert (tmp_path / "log").read_text() == "api.1 | half line\napi.1 | rest\n"
