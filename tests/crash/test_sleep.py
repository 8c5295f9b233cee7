"""Killed at every place on the way to sleep or back, a project ends asleep or awake, and served exactly then."""

from __future__ import annotations

import os

import pytest

from jobs.crash import EXIT_STATUS
from jobs.kinds.sleep import SleepProject
from jobs.kinds.wake import WakeProject
from tests.crash.attempts import attempt_in_a_process
from tests.crash.places import places
from tests.crash.test_matrix import installation, pass_on, prepare, run_here, steps, world, write  # noqa: F401
from tests.fixtures.projects import drop


def let_be_idle(infra, project):
    os.utime(infra.settings.instances_folder / project / "last-request", (0, 0))
    with infra.database.autocommit() as tx:
        tx.execute(
            """INSERT INTO project_settings (project_id, settings) VALUES (%s, '{"idleMinutes": 1}') ON CONFLICT DO NOTHING""",
            (project,),
        )
        tx.execute("UPDATE projects SET updated_at = now() - interval '1 hour' WHERE id = %s", (project,))
        tx.execute("UPDATE jobs SET finished_at = now() - interval '1 hour' WHERE project_id = %s", (project,))


@pytest.fixture(scope="module")
def undisturbed():
    """What an undisturbed run left, found once."""
    return {}


@pytest.mark.parametrize(
    ("kind", "crash"),
    [place for kind in (SleepProject, WakeProject) for place in places(kind, kind)],
)
def test_a_killed_job_is_carried_on_and_ends_the_same(kind, crash, settings, installation, undisturbed):  # noqa: F811
    projects = []

    def begun():
        projects.append(prepare(settings, installation, ()))
        let_be_idle(installation, projects[-1])
        if kind is WakeProject:
            run_here(installation, write(installation, SleepProject(projects[-1])))
        return write(installation, kind(projects[-1]))

    try:
        if kind not in undisturbed:
            job = begun()
            run_here(installation, job)
            undisturbed[kind] = (world(installation, projects[0]), steps(installation, job))
        job = begun()
        assert attempt_in_a_process(settings, crash=crash) == EXIT_STATUS, "the crash point was not reached"
        pass_on(installation)
        run_here(installation, job)
        assert (world(installation, projects[-1]), steps(installation, job)) == undisturbed[kind]
        assert undisturbed[kind][0][0] == ("sleeping" if kind is SleepProject else "active")
    finally:
        for project in projects:
            drop(installation, project)
