"""What a health check goes by: a file that is touched where work was done, and nowhere else."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from infra import alive_file
from infra.postgres.database import Database
from jobs.engine.lease import Leases

RECENT = Path(__file__).resolve().parents[2] / "compose" / "images" / "app" / "recent"


def test_whoever_names_no_file_writes_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    alive_file.touch_alive_file("")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_ends_nothing(tmp_path):
    alive_file.touch_alive_file(str(tmp_path / "nowhere" / "alive"))


@pytest.mark.parametrize(("age", "code"), [(0, 0), (19, 0), (60, 1), (None, 1)])
def test_the_check_believes_a_recent_file_alone(tmp_path, age, code):
    file = tmp_path / "alive"
    if age is not None:
        file.touch()
        os.utime(file, (time.time() - age, time.time() - age))
    assert subprocess.run([RECENT, file, "20"], check=False).returncode == code


def beaten(database, settings) -> None:
    leases = Leases(database, settings, worker="signs")
    thread = threading.Thread(target=leases.run)
    thread.start()
    time.sleep(0.5)
    leases.stop()
    thread.join(10)


def test_a_beat_that_postgres_took_gives_it(settings, infra, tmp_path):
    told = settings.model_copy(update={"alive_file": str(tmp_path / "alive"), "beat_seconds": 0.05})
    beaten(infra.database, told)
    assert (tmp_path / "alive").exists()


def test_a_beat_that_reached_nobody_gives_none(settings, tmp_path):
    told = settings.model_copy(update={"alive_file": str(tmp_path / "alive"), "beat_seconds": 0.05})
    nobody = Database("postgresql://nobody@127.0.0.1:1/none", name="signs", max_size=2)
    try:
        beaten(nobody, told)
    finally:
        nobody.close()
    assert not (tmp_path / "alive").exists()
