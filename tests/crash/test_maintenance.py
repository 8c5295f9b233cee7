"""Killed at every place, maintenance ends as an undisturbed one does."""

from __future__ import annotations

import pytest

from jobs.engine.crash import EXIT_STATUS
from jobs.kinds.platform.prune import PrunePlatform
from jobs.kinds.platform.vacuum_fleet import VacuumFleet
from jobs.kinds.platform.vacuum_platform import VacuumPlatform
from tests.crash.attempts import attempt_in_a_process
from tests.crash.carrying import installation, pass_on, prepare, run_here, steps, write
from tests.crash.places import places
from tests.fixtures.projects import drop

__all__ = ["installation"]


def result(infra, job):
    with infra.database.autocommit() as tx:
        return tx.value("SELECT result FROM jobs WHERE id = %s", (job.id,))


@pytest.mark.parametrize("crash", places(VacuumFleet))
def test_a_killed_fleet_resumes_and_vacuums_each_once(crash, settings, installation):
    projects = [prepare(settings, installation, ()) for _ in range(2)]
    try:
        job = write(installation, VacuumFleet())
        # The parent, its children, the parent again: it dies in one of its turns.
        codes = [attempt_in_a_process(settings, crash=crash)]
        while codes[-1] != EXIT_STATUS and len(codes) < 4:
            codes.append(attempt_in_a_process(settings, crash=crash))
        assert codes[-1] == EXIT_STATUS, "the crash point was not reached"
        pass_on(installation)
        run_here(installation, job)
        with installation.database.autocommit() as tx:
            children = tx.value("SELECT count(*) FROM jobs WHERE parent_id = %s", (job.id,))
        assert (result(installation, job), children) == ({"vacuumed": 2, "failed": []}, 2)
        assert set(steps(installation, job).values()) == {"succeeded"}
    finally:
        for project in projects:
            drop(installation, project)


@pytest.mark.parametrize("crash", places(PrunePlatform))
def test_a_killed_prune_resumes_and_leaves_nothing_old(crash, settings, installation):
    with installation.database.autocommit() as tx:
        tx.execute("INSERT INTO schedules (name, kind, cron) VALUES ('old', 'platform.prune', '0 0 1 1 *')")
        tx.execute(
            "INSERT INTO schedule_slots SELECT 'old', now() - n * interval '1 year' FROM generate_series(1, 3) n"
        )
    job = write(installation, PrunePlatform())
    assert attempt_in_a_process(settings, crash=crash) == EXIT_STATUS, "the crash point was not reached"
    pass_on(installation)
    run_here(installation, job)
    with installation.database.autocommit() as tx:
        assert tx.value("SELECT count(*) FROM schedule_slots") == 1
    assert set(steps(installation, job).values()) == {"succeeded"}


@pytest.mark.parametrize("crash", places(VacuumPlatform))
def test_a_killed_vacuum_of_the_platform_resumes(crash, settings, installation):
    job = write(installation, VacuumPlatform())
    assert attempt_in_a_process(settings, crash=crash) == EXIT_STATUS, "the crash point was not reached"
    pass_on(installation)
    run_here(installation, job)
    told = result(installation, job)
    assert (told["tablesVacuumed"] + told["tablesUnchanged"] > 20, told["tablesLeftOut"]) == (True, {})
    assert told["wraparoundAge"] >= 0
    assert set(steps(installation, job).values()) == {"succeeded"}
