"""Killed in the middle of their work, backups, their proof and their return leave no trace and no program behind."""

from __future__ import annotations

import time
from operator import itemgetter
from pathlib import Path

import psycopg
import pytest

from tests.crash.attempts import Attempt
from tests.crash.carrying import installation, pass_on, run_here, write
from tests.crash.cases import CASES
from tests.crash.places import chance

pytestmark = pytest.mark.gpg

__all__ = ["installation"]
SHARES = (0.1, 0.5, 0.9)


def shares() -> list:
    """Three moments of each; one of them, by seed, in every run."""
    return [
        pytest.param(name, share, marks=() if share == chance(name).choice(SHARES) else pytest.mark.full)
        for name in ("backup", "verify", "restore")
        for share in SHARES
    ]


@pytest.mark.parametrize(("name", "share"), shares())
def test_one_killed_in_the_middle_of_its_work_leaves_no_trace(name, share, settings, installation):
    """Kill -9 while the programs of the pipe run: they die with their worker."""
    case = CASES[name]
    place = case.place(settings, installation)
    try:
        place.sql("CREATE TABLE ballast AS SELECT n, repeat(md5(n::text), 30) AS t FROM generate_series(1, 60000) n")
        place.back_up()
        arguments, project = case.begin(place)
        before = place.world(project)
        job = write(installation, arguments)
        began = time.monotonic()
        attempt_alone(settings)
        whole = time.monotonic() - began
        run_here(installation, job)
        expected = place.world(project)
        arguments, _ = case.begin(place)
        job = write(installation, arguments)
        with Attempt(settings) as process:
            time.sleep(share * whole)
            process.kill()
        assert wait_for_no_programs(str(settings.home), job.id)
        end_sessions(installation, job)
        pass_on(installation)
        run_here(installation, job)
        found = place.world(project)
        assert found[0] == expected[0]
        (rows, files, begun), wanted_rows = itemgetter(1, 4, 6)(found), expected[1]
        assert (rows, begun) == (wanted_rows, 0)
        assert not [name for _, name in files if name.startswith(".")]
        assert before[0][0] == found[0][0]
    finally:
        place.close()


def end_sessions(infra, job):
    """What the reaper does before the job runs again (tested with the reaper)."""
    with psycopg.connect(infra.database.conninfo, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name LIKE %s",
            (f"launchdb:{job.id}:%",),
        )


def attempt_alone(settings):
    with Attempt(settings) as process:
        assert process.wait() == 0


def wait_for_no_programs(*marks, seconds=10.0):
    """Wait until no program runs whose arguments name this installation or this job."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(is_ours(entry, marks) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
            return True
        time.sleep(0.05)
    return False


def is_ours(entry, marks):
    try:
        words = (entry / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return False
    program = Path(words.partition("\0")[0]).name
    return program in ("pg_dump", "gpg", "gpg-agent") and any(mark in words for mark in marks)
