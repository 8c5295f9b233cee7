"""Starting other programs, and files that are whole or not there."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import CHECKOUT
from infra import files
from infra.errors import Refused, Unavailable
from infra.pipeline import ProgramFailed, run
from tests.fixtures.servers import wait_until


def test_a_program_gets_its_input_and_returns_its_output():
    assert run(["tr", "a-z", "A-Z"], feed=b"quiet", timeout_seconds=10) == "QUIET"


def test_a_failing_program_tells_its_status_and_its_last_words():
    with pytest.raises(ProgramFailed, match="sh ended with exit status 3: oh") as failure:
        run(["sh", "-c", "echo oh >&2; exit 3"], timeout_seconds=10)
    assert failure.value.status == 3


def test_a_program_that_hangs_is_ended_with_all_it_started(tmp_path):
    with pytest.raises(Unavailable, match="did not end within"):
        run(["sh", "-c", f"sleep 10004 & echo $! >{tmp_path}/pid; wait"], timeout_seconds=0.5)
    pid = (tmp_path / "pid").read_text().strip()
    wait_until(lambda: not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes())


def test_a_program_dies_with_whoever_started_it():
    script = "from infra.pipeline import spawn; print(spawn(['sleep', '10005']).pid, flush=True); input()"
    parent = subprocess.Popen(
        [sys.executable, "-c", script], cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    child = parent.stdout.readline().strip()
    parent.kill()
    parent.communicate()
    wait_until(lambda: not Path(f"/proc/{child}/cmdline").exists() or not Path(f"/proc/{child}/cmdline").read_bytes())


def test_a_full_disk_is_said_in_one_sentence_and_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "state.json"
    files.replace(path, "old")

    def full(_handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Refused, match=r"the disk is full: .* free some space and start again"):
        files.replace(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_a_lock_is_held_by_one_at_a_time(tmp_path):
    with (
        files.locked(tmp_path / "lock"),
        pytest.raises(files.FileLocked, match="held by another process"),
        files.locked(tmp_path / "lock", wait=False),
    ):
        raise AssertionError
    with files.locked(tmp_path / "lock", wait=False):
        assert (tmp_path / "lock").exists()
