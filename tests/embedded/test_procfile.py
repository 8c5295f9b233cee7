"""What the Procfile and the formation mean."""

from __future__ import annotations

import os
import sys

import pytest

from config.settings import CHECKOUT
from infra.embedded import procfile
from infra.embedded.output import OutputPipe, ProcessLog, Repetitions
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
    pipe = OutputPipe(ProcessLog(tmp_path / "log"), "api.1")
    os.write(pipe.write_end, b"half ")
    assert pipe.pump()
    os.write(pipe.write_end, b"line\nrest")
    assert pipe.pump()
    os.close(pipe.write_end)
    assert not pipe.pump()
    pipe.close()
    assert (tmp_path / "log").read_text() == "api.1 | half line\napi.1 | rest\n"


def test_nothing_that_a_process_prints_begins_a_line_that_is_not_its_own(tmp_path):
    pipe = OutputPipe(ProcessLog(tmp_path / "log"), "postgres")
    said = "FATAL: \r2026 forged\v\f\x1b[2J\x00\x7f\x85\u2028 end\ta tab".encode() + b"\xff\n"
    os.write(pipe.write_end, said)
    assert pipe.pump()
    pipe.close()
    [line] = (tmp_path / "log").read_text().splitlines()
    assert line.startswith("postgres | FATAL: \\x0d2026 forged")
    assert line.endswith(" end\ta tab\\xff")
    assert all(character.isprintable() or character == "\t" for character in line)


REFUSED = 'FATAL:  too many connections for role "{project}_owner"'


def test_one_projects_refused_connections_push_no_other_lines_out_of_a_log(tmp_path):
    log = ProcessLog(tmp_path / "log")
    now = [0.0]
    said = Repetitions(most=5, seconds=10, clock=lambda: now[0])
    projects = ("proj_0123456789abcdef", "proj_fedcba9876543210")

    def say(*lines):
        for line in said.thinned([line.encode() for line in lines]):
            log.write("postgres", line)

    say("LOG: the first line")
    for number in range(1000):
        say(f"2026-01-01 00:00:{number % 60:02} UTC [{number}] " + REFUSED.format(project=projects[0]))
        say(f'2026-01-01 00:00:00 UTC [{number}] FATAL:  password authentication failed for user "x{number:x}yz"')
    say("2026-01-01 00:00:00 UTC [1] " + REFUSED.format(project=projects[1]), "LOG: the last line")
    written = (tmp_path / "log").read_text()
    assert (written.count(projects[0]), written.count("password")) == (5, 5)
    assert written.count(projects[1]) == written.count("the first line") == written.count("the last line") == 1
    now[0] = 11.0
    say("LOG: another")
    written = (tmp_path / "log").read_text()
    assert written.count("995 more lines like this one were left out: ") == 2
    say(*(f'{{"event": "request", "ms": {number}}}' for number in range(100)))
    assert (tmp_path / "log").read_text().count('"event"') == 100, "our own processes keep to shares themselves"
